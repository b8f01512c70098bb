"""What happens to workflows, as events; see `warren.events`."""

import msgspec


class WorkflowStarted(msgspec.Struct, frozen=True):
    """A workflow was taken in; its first jobs follow."""

    workflow_id: str
    name: str
    nodes: int


class WorkflowRefused(msgspec.Struct, frozen=True):
    """What was submitted as a workflow is none; whoever waits for it is told."""

    workflow_id: str
    reason: str


class NodeEnded(msgspec.Struct, frozen=True):
    """The end of a workflow's job was heard; not `taken` when it changed nothing: a second copy, or too late."""

    workflow_id: str
    node: str
    job_id: str
    state: str
    taken: bool


class WorkflowEnded(msgspec.Struct, frozen=True):
    """A workflow has ended; `why` says what decided it when it is not done."""

    workflow_id: str
    name: str
    state: str
    seconds: float
    why: str = ""


class WorkflowDelayed(msgspec.Struct, frozen=True):
    """What follows for workflows cannot be done just now; it is written down, and tried again."""

    error: str
    waiting: int


class WorkflowMessageIgnored(msgspec.Struct, frozen=True):
    """A message that came to move a workflow was not understood, or is of a workflow that is not known."""

    reason: str


class WorkflowsSwept(msgspec.Struct, frozen=True):
    """The workflows that run were looked through: actions done again, nodes moved, results found that had not come."""

    running: int
    repeated: int
    moved: int
    found: int


WorkflowEvent = (
    WorkflowStarted
    | WorkflowRefused
    | NodeEnded
    | WorkflowEnded
    | WorkflowDelayed
    | WorkflowMessageIgnored
    | WorkflowsSwept
)
