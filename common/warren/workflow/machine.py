"""What happens to a workflow, and what is to be done about it: pure functions over a small frozen state.

Theory of operation. The definition never changes; what changes is `Progress`: the state of each node and how often its job was
enqueued. `apply` takes one happening and returns the next progress and the actions that follow. Whoever keeps workflows writes
both down together before it does any of the actions, and does them again where it cannot know that they were done: an
action may be done twice, as its job's id follows from workflow, node and run.

Messages come late, twice and in any order. A result counts only for a node that is queued, and only with the id of the node's
present run; so a second copy, or one of a run before a retry, changes nothing (`Step.taken` is False). Cancel and retry carry
the id of their request, and count once. What a happening leads to depends only on the states of the nodes, so results that come
in another order lead to the same end.

A node runs when everything it comes after has ended, and each edge whose upstream is not done says `continue`. A fault on an
edge that says `fail`, or at a node on which nothing depends, decides the workflow: what waits is cancelled, what is queued may
end. A decided workflow is at its end when nothing is queued any more; one that was cancelled when all it had left to do was
running, and that was done, is done.

One result is taken after the end: that of a dead letter that was replayed, `done` for a node that failed in its present run.
It takes the failure back, with all that was skipped or cancelled because of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from warren.states import JobState
from warren.workflow.graph import Graph, job_id
from warren.workflow.states import END_OF_JOB, FAULTY, OPEN, NodeState, OnFailure, WorkflowState

_TEXT = 1_000
"""Of an error; the whole of it is in the result and the dead letter of the job."""
_REQUESTS = 100
"""Kept of each workflow."""


class NodeProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a node is.

    Attributes:
        run: how often its job was enqueued in the history, 0 for never.
        since: when it came into this state, seconds since the epoch.
        unbegun: whether it was skipped or cancelled before its job was enqueued.
        why: of an end that is not `done`: the reason of the dead letter, who cancelled it, which node it was skipped after.
    """

    state: NodeState = NodeState.WAITING
    run: int = 0
    since: float = 0.0
    unbegun: bool = False
    why: str = ""
    error: str = ""
    error_type: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a workflow is: all that changes; small, to be written down whole after each happening.

    Attributes:
        verdict: how it will end, when that is decided and something still runs.
        why: what decided it.
        requests: ids of the cancels and retries that were heard.
        ended_at: seconds since the epoch.
    """

    nodes: Mapping[str, NodeProgress]
    state: WorkflowState = WorkflowState.RUNNING
    verdict: WorkflowState | None = None
    why: str = ""
    requests: tuple[str, ...] = ()
    ended_at: float | None = None

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


Happening = Ended | CancelAsked | RetryAsked | Nudged


# --- what is to be done ------------------------------------------------------------------------------------------


class Enqueue(msgspec.Struct, frozen=True, tag="enqueue"):
    """Publish a node's job (`warren.workflow.jobs`); of a node with `map` its producer does that."""

    node: str
    run: int


class CancelJobs(msgspec.Struct, frozen=True, tag="cancel"):
    """Cancel the jobs of these nodes, by node their ids."""

    jobs: Mapping[str, str]
    reason: str


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Publish the workflow's own result (`warren.workflow.jobs`)."""


Action = Enqueue | CancelJobs | Finish


@dataclass(frozen=True, slots=True)
class Step:
    """What a happening led to; `taken` is False when it changed nothing: a duplicate, or too late."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    taken: bool = True


# --- the machine -------------------------------------------------------------------------------------------------


def begin(graph: Graph, now: float) -> Step:
    """Return a new workflow's progress and what is to be done first."""
    return _advanced(graph, Progress({name: NodeProgress(since=now) for name in graph.definition.nodes}), now)


def apply(graph: Graph, progress: Progress, happening: Happening) -> Step:
    """Return what a happening leads to."""
    match happening:
        case Ended():
            return _ended(graph, progress, happening)
        case CancelAsked():
            return _cancelled(graph, progress, happening)
        case RetryAsked():
            return _retried(graph, progress, happening)
        case Nudged(at=now):
            if progress.state is not WorkflowState.RUNNING:
                return Step(progress, taken=False)
            step = _advanced(graph, progress, now)
            return Step(step.progress, step.actions, taken=step.progress != progress)


def overdue(graph: Graph, progress: Progress, before: float) -> tuple[tuple[str, str], ...]:
    """Return nodes that have been queued since before a moment, each with the id of its job: its result may have been lost."""
    workflow = graph.definition.id
    return tuple(
        (name, job_id(workflow, name, node.run))
        for name, node in progress.nodes.items()
        if node.state is NodeState.QUEUED and node.since < before
    )


def _ended(graph: Graph, progress: Progress, ended: Ended) -> Step:
    node = progress.nodes.get(ended.node)
    state = END_OF_JOB.get(ended.state)
    if node is None or state is None or ended.job_id != job_id(graph.definition.id, ended.node, node.run):
        return Step(progress, taken=False)
    if node.state is NodeState.QUEUED:
        return _settled(graph, progress, ended, state)
    if node.state is NodeState.FAILED and state is NodeState.DONE and WorkflowState.CANCELLED not in _fates(progress):
        return _revived(graph, progress, ended)
    return Step(progress, taken=False)


def _settled(graph: Graph, progress: Progress, ended: Ended, state: NodeState) -> Step:
    node = replace(
        progress.nodes[ended.node],
        state=state,
        since=ended.at,
        why=ended.reason[:_TEXT],
        error=ended.error[:_TEXT],
        error_type=ended.error_type[:_TEXT],
    )
    progress = replace(progress, nodes={**progress.nodes, ended.node: node})
    return _advanced(graph, progress, ended.at)


def _revived(graph: Graph, progress: Progress, ended: Ended) -> Step:
    """A dead letter was replayed, and is done: take back what followed from its failure."""
    reset = {name: _waiting(node, ended.at) for name, node in progress.nodes.items() if node.unbegun}
    done = NodeProgress(NodeState.DONE, progress.nodes[ended.node].run, ended.at)
    nodes = {**progress.nodes, **reset, ended.node: done}
    others = [name for name, node in nodes.items() if node.state in FAULTY and graph.is_fatal(name)]
    if others:  # it failed for another reason, too
        return Step(replace(progress, nodes={**progress.nodes, ended.node: done}))
    return _advanced(graph, _running(progress, nodes), ended.at)


def _cancelled(graph: Graph, progress: Progress, asked: CancelAsked) -> Step:
    if asked.request in progress.requests:
        return Step(progress, taken=False)
    progress = _heard(progress, asked.request)
    if progress.state is not WorkflowState.RUNNING:
        return Step(progress)
    if progress.verdict is None:
        progress = replace(progress, verdict=WorkflowState.CANCELLED, why=asked.reason[:_TEXT])
    jobs = {name: found for name, found in overdue(graph, progress, float("inf")) if _is_job(graph, name)}
    step = _advanced(graph, progress, asked.at)
    actions = (CancelJobs(jobs, asked.reason), *step.actions) if jobs else step.actions
    return Step(step.progress, actions)


def _retried(graph: Graph, progress: Progress, asked: RetryAsked) -> Step:
    """Take back every end that is not `done`, and every end that came of it."""
    if asked.request in progress.requests:
        return Step(progress, taken=False)
    progress = _heard(progress, asked.request)
    failed = {name for name, node in progress.nodes.items() if node.state is not NodeState.DONE}
    if progress.state is WorkflowState.RUNNING or not failed:
        return Step(progress)
    again = failed | graph.descendants(failed)
    nodes = {name: _waiting(node, asked.at) if name in again else node for name, node in progress.nodes.items()}
    return _advanced(graph, _running(progress, nodes), asked.at)


def _heard(progress: Progress, request: str) -> Progress:
    """Note a request, so that a second copy of it, however late, is one."""
    return replace(progress, requests=(*progress.requests, request)[-_REQUESTS:])


def _advanced(graph: Graph, progress: Progress, now: float) -> Step:
    """Move every node that can be moved, and end the workflow where nothing can."""
    nodes = dict(progress.nodes)
    progress = _judged(graph, progress)
    actions: list[Action] = []
    for name in graph.order:
        if nodes[name].state is not NodeState.WAITING:
            continue
        nodes[name] = moved = _moved(graph, nodes, name, progress, now)
        if moved.state is NodeState.QUEUED:
            actions.append(Enqueue(name, moved.run))
    progress = replace(progress, nodes=nodes)
    if progress.state is WorkflowState.RUNNING and not progress.count(*OPEN):
        progress = replace(progress, state=_end_of(progress), verdict=None, ended_at=now)
        actions.append(Finish())
    return Step(progress, tuple(actions))


def _end_of(progress: Progress) -> WorkflowState:
    """A cancel that came too late for every node has cancelled nothing."""
    done = progress.count(NodeState.DONE) == len(progress.nodes)
    return WorkflowState.DONE if done or progress.verdict is None else progress.verdict


def _judged(graph: Graph, progress: Progress) -> Progress:
    """Decide for failure where a fault says so."""
    if progress.verdict is not None:
        return progress
    for name in graph.order:
        node = progress.nodes[name]
        if node.state in FAULTY and graph.is_fatal(name):
            said = f"{node.error_type}: {node.error}" if node.error_type else node.error or node.why
            why = f"node {name!r} {node.state}" + (f": {said}" if said else "")
            return replace(progress, verdict=WorkflowState.FAILED, why=why[:_TEXT])
    return progress


def _moved(graph: Graph, nodes: Mapping[str, NodeProgress], name: str, progress: Progress, now: float) -> NodeProgress:
    """Return what becomes of a node that waits."""
    node, after = nodes[name], graph.definition.nodes[name].after
    if progress.verdict is not None:
        why = f"the workflow is {progress.verdict}"
        return NodeProgress(NodeState.CANCELLED, node.run, now, unbegun=True, why=why)
    bars = [upstream for upstream, policy in after.items() if _bars(nodes[upstream].state, policy)]
    if bars:
        why = f"node {bars[0]!r} is {nodes[bars[0]].state}"
        return NodeProgress(NodeState.SKIPPED, node.run, now, unbegun=True, why=why)
    if any(nodes[upstream].state in OPEN for upstream in after):
        return node
    return NodeProgress(NodeState.QUEUED, node.run + 1, now)


def _bars(upstream: NodeState, policy: OnFailure) -> bool:
    """Whether a node cannot run any more after another has ended like this."""
    return upstream not in OPEN and upstream is not NodeState.DONE and policy is not OnFailure.CONTINUE


def _waiting(node: NodeProgress, now: float) -> NodeProgress:
    return NodeProgress(NodeState.WAITING, node.run, now)


def _running(progress: Progress, nodes: Mapping[str, NodeProgress]) -> Progress:
    return Progress(nodes, requests=progress.requests)


def _fates(progress: Progress) -> Iterable[WorkflowState]:
    return [fate for fate in (progress.state, progress.verdict) if fate is not None]


def _is_job(graph: Graph, name: str) -> bool:
    return graph.definition.nodes[name].map is None
