"""From nodes to jobs, and from nodes' results to the workflow's own: pure, for whoever conducts workflows."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from warren.errors import WarrenError
from warren.job import Body, Job
from warren.result import Result
from warren.states import JobState
from warren.topology import WORKFLOW_JOB
from warren.workflow.graph import Definition, Graph, Node, job_id
from warren.workflow.machine import Progress
from warren.workflow.states import FAULTY, NodeState, WorkflowState

TASK = "workflow:"
"""Before a workflow's name, what stands for the task in its own result."""
FAILED = "workflow_failed"
TOO_LARGE = "result_too_large"
MAX_RESULT_BYTES = 8 * 1024 * 1024
"""Of a workflow's own result; brokers take messages of 16 MiB, and one too large would be asked of them for ever."""
_NULL = msgspec.Raw(b"null")
_END = {
    WorkflowState.DONE: JobState.DONE,
    WorkflowState.FAILED: JobState.DEAD,
    WorkflowState.CANCELLED: JobState.CANCELLED,
    WorkflowState.RUNNING: JobState.RUNNING,
}


class InputsDoNotFit(WarrenError):
    """A node's arguments have no place for an input, or are too large with it; its job cannot be enqueued."""


class NodeFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a node that is not done."""

    state: NodeState
    error: str = ""
    error_type: str = ""
    why: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `value` of a workflow's result that is not `done`: how many nodes ended, and items of maps, and what became of those that failed.

    Attributes:
        failed: at most a hundred nodes that failed, expired or were cancelled while their job was enqueued.
    """

    settled: int
    total: int
    failed: Mapping[str, NodeFault] = {}


def inputs_of(node: Node) -> frozenset[str]:
    """Return the nodes whose outputs a node takes."""
    return frozenset(given.node for given in node.inputs)


def job_of(
    definition: Definition,
    name: str,
    run: int,
    values: Mapping[str, msgspec.Raw],
    *,
    now: float,
    payload_limit: int,
) -> Job:
    """Return the job of a node.

    Args:
        definition: the workflow.
        name: of the node.
        run: as the action says.
        values: outputs of nodes that are done, by name; what it takes of others is null.
        now: seconds since the epoch.
        payload_limit: bytes, of its body.

    Raises:
        InputsDoNotFit: the node has failed: it cannot be enqueued.
    """
    node = definition.nodes[name]
    body = _body(node, values)
    size = len(msgspec.json.encode(body))
    if size > payload_limit:
        raise InputsDoNotFit(
            f"with its inputs node {name!r} is {size:,} bytes and the limit is {payload_limit:,}: "
            "have tasks return a path or a URL instead of the data, or raise payload_limit"
        )
    ready = max(now + (node.delay or 0.0), node.at or 0.0)
    return Job(
        id=job_id(definition.id, name, run),
        body=body,
        queue=node.queue,
        enqueued_at=now,
        ready_at=ready,
        first_ready_at=ready,
        expires_at=None if node.expires is None else ready + node.expires,
        deadline_at=None if node.deadline is None else ready + node.deadline,
        priority=node.priority,
        reply_to=WORKFLOW_JOB,
        limits=node.limits,
        workflow=definition.id,
        node=name,
    )


def result_of(graph: Graph, progress: Progress, values: Mapping[str, msgspec.Raw], now: float) -> Result:
    """Return the workflow's own result, or where it is while it runs; its routing key is the definition's `reply_to`.

    Args:
        graph: the workflow.
        progress: of it.
        values: outputs of nodes that are done, by name; those of `result_nodes` are enough.
        now: seconds since the epoch.
    """
    definition, state = graph.definition, _END[progress.state]
    done = progress.state is WorkflowState.DONE
    told = Result(
        id=definition.id,
        task=TASK + definition.name,
        queue="",
        state=state,
        attempt=1,
        finished_at=progress.ended_at or now,
        value=_value(graph, values) if done else msgspec.Raw(msgspec.json.encode(report_of(progress))),
        reason=FAILED if state is JobState.DEAD else "" if done else progress.why,
        error=progress.why if state is JobState.DEAD else "",
    )
    size = len(bytes(told.value))
    if size <= MAX_RESULT_BYTES:
        return told
    why = (
        f"all its nodes are done, but its result is {size:,} bytes and the limit is {MAX_RESULT_BYTES:,}: "
        "have it return a path or a URL instead of the data"
    )
    report = msgspec.Raw(msgspec.json.encode(report_of(progress)))
    return replace(told, state=JobState.DEAD, value=report, reason=TOO_LARGE, error=why)


def result_nodes(graph: Graph) -> tuple[str, ...]:
    """Return the nodes whose outputs make the workflow's result."""
    result = graph.definition.result
    return graph.sinks if result is None else (result,) if isinstance(result, str) else result


def report_of(progress: Progress) -> Report:
    """Return how far a workflow is, and what failed in it."""
    faults = {
        name: NodeFault(node.state, node.error, node.error_type, node.why)
        for name, node in progress.nodes.items()
        if node.state in FAULTY and not node.unbegun
    }
    items = sum(found.settled for found in progress.maps.values())
    all_items = sum(max(found.items or 0, found.settled) for found in progress.maps.values())
    return Report(progress.settled + items, len(progress.nodes) + all_items, dict(list(faults.items())[:100]))


def _value(graph: Graph, values: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    names, one = result_nodes(graph), isinstance(graph.definition.result, str)
    found = {name: values.get(name, _NULL) for name in names}
    if one or (graph.definition.result is None and len(names) == 1):
        return found[names[0]]
    return msgspec.Raw(
        msgspec.json.encode(found if graph.definition.result is None else [found[name] for name in names])
    )


def _body(node: Node, values: Mapping[str, msgspec.Raw]) -> Body:
    args, kwargs = list(node.args), dict(node.kwargs)
    # All that goes into one argument at a time: taking it apart for each would cost their product.
    by_argument: dict[int | str, list[tuple[tuple[int | str, ...], msgspec.Raw]]] = {}
    for given in node.inputs:
        by_argument.setdefault(given.at[0], []).append((given.at[1:], values.get(given.node, _NULL)))
    for place, inputs in by_argument.items():
        if isinstance(place, str):
            kwargs[place] = _filled(kwargs[place], inputs)
        else:
            args[place] = _filled(args[place], inputs)
    return Body(node.task, args, kwargs)


def _filled(argument: msgspec.Raw, inputs: list[tuple[tuple[int | str, ...], msgspec.Raw]]) -> msgspec.Raw:
    """Return an argument with values at their places in it."""
    if any(not path for path, _ in inputs):
        return inputs[-1][1]
    deeper: dict[int | str, list[tuple[tuple[int | str, ...], msgspec.Raw]]] = {}
    for path, value in inputs:
        deeper.setdefault(path[0], []).append((path[1:], value))
    parts: Any
    try:
        parts = msgspec.json.decode(argument, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
        for place, inner in deeper.items():
            parts[place] = _filled(parts[place], inner)
    except (msgspec.MsgspecError, LookupError, TypeError) as error:
        raise InputsDoNotFit(
            f"an argument has no place {list(deeper)} for what another node returned: {error}"
        ) from error
    return msgspec.Raw(msgspec.json.encode(parts))
