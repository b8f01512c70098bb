"""The states of a workflow and of its nodes."""

from enum import StrEnum

from warren.states import JobState


class NodeState(StrEnum):
    """Where a node is; all but the first two are ends, which only a retry of the workflow (or a replayed dead letter) takes back."""

    WAITING = "waiting"
    QUEUED = "queued"
    """Its job is enqueued, or running."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SKIPPED = "skipped"


class WorkflowState(StrEnum):
    """Where a workflow is; only a retry takes an end back."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OnFailure(StrEnum):
    """What the end of one node that is not done means for a node that depends on it."""

    FAIL = "fail"
    """The workflow fails: what has not begun is cancelled, what runs may end."""
    SKIP = "skip"
    """The dependent is skipped, and what depends on it in turn, unless its own edge says `continue`."""
    CONTINUE = "continue"
    """The dependent runs; where it takes the output, it is given null."""


OPEN = frozenset({NodeState.WAITING, NodeState.QUEUED})
FAULTY = frozenset({NodeState.FAILED, NodeState.CANCELLED, NodeState.EXPIRED})
"""Ends to which the edges' policies apply; after a skipped node, `fail` means `skip`."""

END_OF_JOB = {
    JobState.DONE: NodeState.DONE,
    JobState.DEAD: NodeState.FAILED,
    JobState.CANCELLED: NodeState.CANCELLED,
    JobState.EXPIRED: NodeState.EXPIRED,
}
"""What a job's end means for its node."""
