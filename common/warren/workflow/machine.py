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

from msgspec.structs import replace

from warren.workflow.folding import Folding, Group, counted
from warren.workflow.folding import ended as folding_ended
from warren.workflow.graph import Graph, MapSpec, job_id
from warren.workflow.mapping import ABANDONED_SECONDS, open_parts, part_id
from warren.workflow.moves import (
    Action,
    CancelAsked,
    CancelJobs,
    Ended,
    Enqueue,
    Finish,
    Fold,
    Happening,
    MapCounted,
    NodeProgress,
    Nudged,
    PartEnded,
    Progress,
    RetryAsked,
    Step,
)
from warren.workflow.states import END_OF_JOB, FAULTY, OPEN, NodeState, OnFailure, WorkflowState

__all__ = [
    "Action",
    "CancelAsked",
    "CancelJobs",
    "Ended",
    "Enqueue",
    "Finish",
    "Fold",
    "Happening",
    "MapCounted",
    "NodeProgress",
    "Nudged",
    "PartEnded",
    "Progress",
    "RetryAsked",
    "Step",
    "apply",
    "begin",
    "lost_map",
    "overdue",
]
_TEXT = 1_000
"""Of an error; the whole of it is in the result and the dead letter of the job."""
_REQUESTS = 100
"""Kept of each workflow."""
_PARTS, _CANCELLED = 1_000, 20_000
"""Jobs of a map in one action, or looked for at a time; and those that are cancelled when it ends early: the others run for nobody."""


# --- the machine -------------------------------------------------------------------------------------------------


def begin(graph: Graph, now: float) -> Step:
    """Return a new workflow's progress and what is to be done first."""
    return _advanced(graph, Progress({name: NodeProgress(since=now) for name in graph.definition.nodes}), now)


def apply(graph: Graph, progress: Progress, happening: Happening) -> Step:
    """Return what a happening leads to."""
    match happening:
        case Ended():
            return _ended(graph, progress, happening)
        case PartEnded():
            return _part_ended(graph, progress, happening)
        case MapCounted():
            return _map_counted(graph, progress, happening)
        case CancelAsked():
            return _cancelled(graph, progress, happening)
        case RetryAsked():
            return _retried(graph, progress, happening)
        case Nudged():
            return _nudged(graph, progress, happening.at)


def overdue(graph: Graph, progress: Progress, before: float, parts: int = _PARTS) -> tuple[tuple[str, str, float], ...]:
    """Return nodes that have been queued, silently, since before a moment: their results may have been lost.

    Each comes with the id of its job and with when that may have been enqueued: of a map its chunks stand for it.
    """
    definition, found = graph.definition, list[tuple[str, str, float]]()
    for name, node in progress.nodes.items():
        if node.state is not NodeState.QUEUED or node.since >= before:
            continue
        if definition.nodes[name].map is None:
            found.append((name, job_id(definition.id, name, node.run), node.since))
        else:
            begun = node.since if node.begun is None else node.begun
            awaited = open_parts(definition, name, progress.maps.get(name, Folding()), parts)
            found += [(part, job, begun) for part, job in awaited.items()]
    return tuple(found)


def lost_map(graph: Graph, progress: Progress) -> str | None:
    """Return a map that a retry would have to run again, and cannot: nobody has its items any more."""
    failed = {name for name, node in progress.nodes.items() if node.state is not NodeState.DONE}
    again = failed | graph.descendants(failed)
    maps = ((name, node.map.into) for name, node in graph.definition.nodes.items() if node.map is not None)
    return next((name for name, into in maps if name in again or into in again), None)


def _nudged(graph: Graph, progress: Progress, now: float) -> Step:
    if progress.state is not WorkflowState.RUNNING:
        return Step(progress, taken=False)
    nodes = dict(progress.nodes)
    for name, node in graph.definition.nodes.items():
        folding, silent = progress.maps.get(name, Folding()), now - nodes[name].since
        if node.map and nodes[name].state is NodeState.QUEUED and folding.chunks is None and silent > ABANDONED_SECONDS:
            nodes[name] = NodeProgress(NodeState.FAILED, 1, now, why="its producer has not told its end")
    step = _advanced(graph, replace(progress, nodes=nodes), now)
    return Step(step.progress, step.actions, taken=step.progress != progress)


def _part_ended(graph: Graph, progress: Progress, ended: PartEnded) -> Step:
    """Take the end of a chunk, or of a call that folds."""
    node, spec = progress.nodes.get(ended.node), _spec(graph, ended.node)
    folding, entry = progress.maps.get(ended.node, Folding()), (ended.level, ended.place)
    state = END_OF_JOB.get(ended.state)
    awaited = node is not None and node.state is NodeState.QUEUED and state is not None and folding.is_new(*entry)
    if not (awaited and spec and ended.job_id == part_id(graph.definition, ended.node, *entry)):
        return Step(progress, taken=False)
    if state is not NodeState.DONE:
        return _part_failed(graph, progress, ended, spec.into)
    return _folded(graph, progress, ended.node, folding_ended(folding, spec, entry, ended.count, ended.size), ended.at)


def _map_counted(graph: Graph, progress: Progress, told: MapCounted) -> Step:
    node, spec = progress.nodes.get(told.node), _spec(graph, told.node)
    folding = progress.maps.get(told.node, Folding())
    if spec is None or node is None or node.state is NodeState.WAITING or folding.chunks is not None:
        return Step(progress, taken=False)
    if node.state is not NodeState.QUEUED:  # it was cancelled, or failed, while its producer sent on
        folding = replace(folding, chunks=told.chunks, items=told.items)
        jobs = open_parts(graph.definition, told.node, folding, _CANCELLED)
        return Step(replace(progress, maps={**progress.maps, told.node: folding}), _cancelling(jobs, node.why))
    return _folded(graph, progress, told.node, counted(folding, spec, told.chunks, told.items), told.at)


def _folded(graph: Graph, progress: Progress, name: str, led: tuple[Folding, list[Group]], now: float) -> Step:
    folding, groups = led
    node = progress.nodes[name]
    nodes = {**progress.nodes, name: replace(node, since=now, begun=node.since if node.begun is None else node.begun)}
    if folding.end is not None:
        spec = _spec(graph, name)
        assert spec is not None
        nodes[name] = NodeProgress(NodeState.DONE, 1, now)
        if nodes[spec.into].state is NodeState.WAITING:  # and not cancelled meanwhile
            nodes[spec.into] = NodeProgress(NodeState.DONE, 1, now)
    step = _advanced(graph, replace(progress, nodes=nodes, maps={**progress.maps, name: folding}), now)
    return Step(
        step.progress, (*(Fold(name, one.level, one.place, one.first, one.last) for one in groups), *step.actions)
    )


def _part_failed(graph: Graph, progress: Progress, ended: PartEnded, into: str) -> Step:
    """A map whose chunk is not done is not; nor is its reduce when a call of it is not. What else is enqueued is cancelled."""
    faulty, nodes = ended.node if ended.level == 0 else into, dict(progress.nodes)
    nodes[ended.node] = NodeProgress(NodeState.DONE, 1, ended.at)
    fault = NodeProgress(END_OF_JOB[ended.state], 1, ended.at, why=ended.reason[:_TEXT])
    nodes[faulty] = replace(fault, error=ended.error[:_TEXT], error_type=ended.error_type[:_TEXT])
    jobs = open_parts(graph.definition, ended.node, progress.maps.get(ended.node, Folding()), _CANCELLED)
    step = _advanced(graph, replace(progress, nodes=nodes), ended.at)
    left = {name: job for name, job in jobs.items() if job != ended.job_id}
    return Step(step.progress, (*_cancelling(left, f"node {faulty!r} failed"), *step.actions))


def _cancelling(jobs: Mapping[str, str], reason: str) -> tuple[CancelJobs, ...]:
    """Return the actions that cancel these jobs, each of so many that it can be noted down."""
    every = list(jobs.items())
    return tuple(CancelJobs(dict(every[at : at + _PARTS]), reason) for at in range(0, len(every), _PARTS))


def _spec(graph: Graph, name: str) -> MapSpec | None:
    node = graph.definition.nodes.get(name)
    return node.map if node is not None else None


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
    jobs = {name: job for name, job, _ in overdue(graph, progress, float("inf"), _CANCELLED)}
    ended = NodeProgress(NodeState.CANCELLED, 1, asked.at, why=asked.reason[:_TEXT])  # of a map; a job tells its end
    open_maps = {n: ended for n, node in progress.nodes.items() if node.state is NodeState.QUEUED and _spec(graph, n)}
    step = _advanced(graph, replace(progress, nodes={**progress.nodes, **open_maps}), asked.at)
    return Step(step.progress, (*_cancelling(jobs, asked.reason), *step.actions))


def _retried(graph: Graph, progress: Progress, asked: RetryAsked) -> Step:
    """Take back every end that is not `done`, and every end that came of it."""
    if asked.request in progress.requests:
        return Step(progress, taken=False)
    progress = _heard(progress, asked.request)
    failed = {name for name, node in progress.nodes.items() if node.state is not NodeState.DONE}
    if progress.state is WorkflowState.RUNNING or not failed:
        return Step(progress)
    again = failed | graph.descendants(failed)
    if lost_map(graph, progress) is not None:
        return Step(progress)
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
    return Progress(nodes, requests=progress.requests, maps=progress.maps)


def _fates(progress: Progress) -> Iterable[WorkflowState]:
    return [fate for fate in (progress.state, progress.verdict) if fate is not None]
