"""What happens to a workflow, what is to be done about it, and where it is: frozen values; `warren.workflow.machine` moves them."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from warren.states import JobState
from warren.workflow.folding import Folding
from warren.workflow.states import OPEN, NodeState, WorkflowState


class NodeProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a node is.

    Attributes:
        run: how often its job was enqueued in the history, 0 for never.
        since: when it came into this state, or when of a map something was heard last, seconds since the epoch.
        unbegun: whether it was skipped or cancelled before its job was enqueued.
        why: of an end that is not `done`: the reason of the dead letter, who cancelled it, which node it was skipped after.
        begun: of a map of which something was heard, when it was enqueued.
    """

    state: NodeState = NodeState.WAITING
    run: int = 0
    since: float = 0.0
    unbegun: bool = False
    why: str = ""
    error: str = ""
    error_type: str = ""
    begun: float | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a workflow is: all that changes; small, to be written down whole after each happening.

    Attributes:
        verdict: how it will end, when that is decided and something still runs.
        why: what decided it.
        requests: ids of the cancels and retries that were heard.
        ended_at: seconds since the epoch.
        maps: how far the maps are, by their nodes.
    """

    nodes: Mapping[str, NodeProgress]
    state: WorkflowState = WorkflowState.RUNNING
    verdict: WorkflowState | None = None
    why: str = ""
    requests: tuple[str, ...] = ()
    ended_at: float | None = None
    maps: Mapping[str, Folding] = {}

    def count(self, *states: NodeState) -> int:
        """Return how many nodes are in one of these states."""
        return sum(node.state in states for node in self.nodes.values())

    @property
    def settled(self) -> int:
        """How many nodes have ended."""
        return len(self.nodes) - self.count(*OPEN)


# --- what happens ------------------------------------------------------------------------------------------------


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A node's job has ended, as its result or its dead letter says; `state` is final."""

    node: str
    job_id: str
    state: JobState
    at: float
    reason: str = ""
    error: str = ""
    error_type: str = ""


class PartEnded(msgspec.Struct, frozen=True, tag="part_ended"):
    """A chunk of a map has ended with all its items, or a call of its reduce; `state` is final.

    Attributes:
        node: the map's.
        level: 0 for a chunk.
        count: values it gave; 1 above level 0.
        size: bytes of these.
    """

    node: str
    level: int
    place: int
    job_id: str
    state: JobState
    at: float
    count: int = 1
    size: int = 0
    reason: str = ""
    error: str = ""
    error_type: str = ""


class MapCounted(msgspec.Struct, frozen=True, tag="map_counted"):
    """The producer of a map has enqueued all its chunks."""

    node: str
    chunks: int
    items: int
    at: float


class CancelAsked(msgspec.Struct, frozen=True, tag="cancel"):
    """Somebody cancels the workflow; `request` is the id of the message that says so."""

    request: str
    at: float
    reason: str = "cancelled"


class RetryAsked(msgspec.Struct, frozen=True, tag="retry"):
    """Somebody has what is not done tried again, and with it what depends on that."""

    request: str
    at: float


class Nudged(msgspec.Struct, frozen=True, tag="nudge"):
    """Nothing happened, but somebody looks whether anything could be done: the sweeper."""

    at: float


Happening = Ended | PartEnded | MapCounted | CancelAsked | RetryAsked | Nudged


# --- what is to be done ------------------------------------------------------------------------------------------


class Enqueue(msgspec.Struct, frozen=True, tag="enqueue"):
    """Publish a node's job (`warren.workflow.jobs`); of a node with `map` its producer publishes the chunks."""

    node: str
    run: int


class Fold(msgspec.Struct, frozen=True, tag="fold"):
    """Publish a call of a map's reduce: of the entries `first` to before `last`, one level below its own."""

    node: str
    level: int
    place: int
    first: int
    last: int


class CancelJobs(msgspec.Struct, frozen=True, tag="cancel"):
    """Cancel the jobs of these nodes, by node (`part_name` of parts of a map) their ids."""

    jobs: Mapping[str, str]
    reason: str


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Publish the workflow's own result (`warren.workflow.jobs`)."""


Action = Enqueue | Fold | CancelJobs | Finish


@dataclass(frozen=True, slots=True)
class Step:
    """What a happening led to; `taken` is False when it changed nothing: a duplicate, or too late."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    taken: bool = True
