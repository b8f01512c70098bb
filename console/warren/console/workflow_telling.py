"""What is told of workflows, to humans and as JSON: pure."""

from collections.abc import Iterator
from typing import Any

from warren.console.amounts import span
from warren.console.output import clock, iso, plural
from warren.store.workflows import Stored, Summary
from warren.workflow.graph import Graph, job_id
from warren.workflow.jobs import result_nodes
from warren.workflow.machine import NodeProgress, Progress, lost_map
from warren.workflow.states import NodeState, WorkflowState

HEADINGS = ("id", "state", "nodes", "began, UTC", "name")


def row(one: Summary) -> tuple[object, ...]:
    """Return a line of the list."""
    return one.id, one.state, f"{one.settled}/{one.total}", clock(one.created_at)[5:], one.name


def document(one: Summary) -> dict[str, Any]:
    """Return a line of the list as JSON has it."""
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "settled": one.settled,
        "total": one.total,
        "created_at": iso(one.created_at),
        "changed_at": iso(one.changed_at),
        "ended_at": iso(one.ended_at),
        "why": one.why,
    }


def whole(one: Stored) -> dict[str, Any]:
    """Return all that is known of a workflow as JSON has it."""
    definition, progress = one.definition, one.progress
    return {
        "id": definition.id,
        "name": definition.name,
        "state": progress.state,
        "ends_as": progress.verdict,
        "why": progress.why,
        "settled": progress.settled,
        "total": len(progress.nodes),
        "created_at": iso(definition.created_at),
        "changed_at": iso(one.changed_at),
        "ended_at": iso(progress.ended_at),
        "result_of": result_nodes(Graph.of(definition)),
        "nodes": [_node(one, name, node) for name, node in progress.nodes.items()],
    }


def pairs(one: Stored, now: float) -> Iterator[tuple[str, object]]:
    """Return what is told above the drawing, by name."""
    definition, progress = one.definition, one.progress
    yield "id", definition.id
    yield "name", definition.name
    yield "state", _state(progress)
    yield "why", progress.why
    yield "nodes", f"{progress.settled} of {len(progress.nodes)} ended"
    yield "began", iso(definition.created_at or None)
    yield "ended", iso(progress.ended_at)
    if definition.created_at:
        yield "took" if progress.ended_at else "for", span((progress.ended_at or now) - definition.created_at)


def hint(one: Stored) -> str:
    """Return what can be done about a workflow, if anything."""
    workflow, state = one.definition.id, one.progress.state
    if state in {WorkflowState.FAILED, WorkflowState.CANCELLED}:
        if (lost := lost_map(Graph.of(one.definition), one.progress)) is not None:
            return f"it cannot be retried: nobody has the items of map {lost!r} any more; start it anew"
        return f"`warren workflows retry {workflow}` runs again what is not done"
    queued = [name for name, node in one.progress.nodes.items() if node.state is NodeState.QUEUED]
    if state is WorkflowState.RUNNING and queued:
        return f"{plural(len(queued), 'job')} enqueued; `warren workflows show {workflow} --json` has their ids"
    return ""


def _state(progress: Progress) -> str:
    if progress.verdict is not None:
        return f"{progress.state}, will be {progress.verdict} when what runs has ended"
    return str(progress.state)


def _node(one: Stored, name: str, node: NodeProgress) -> dict[str, Any]:
    definition = one.definition.nodes[name]
    return {
        "name": name,
        "task": definition.task,
        "queue": definition.queue,
        "state": node.state,
        "run": node.run,
        "job": job_id(one.definition.id, name, node.run) if node.run else None,
        "since": iso(node.since),
        "after": dict(definition.after),
        "why": node.why,
        "error": node.error,
        "error_type": node.error_type,
    }
