"""The workflows that most people need, made in one call: one after the other, side by side, and side by side into one."""

from collections.abc import Iterable
from typing import Any, Concatenate, TypeVar, cast, overload

from warren.task import Call, Task
from warren.workflow.building import Node, Workflow

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

_One = Task[Concatenate[A, ...], B]
"""A task that can be called with one argument of a type; what else it takes has defaults."""


@overload
def chain(first: Call[A], second: _One[A, B], /, *, name: str = ...) -> Workflow[B]: ...
@overload
def chain(first: Call[A], second: _One[A, B], third: _One[B, C], /, *, name: str = ...) -> Workflow[C]: ...
@overload
def chain(
    first: Call[A],
    second: _One[A, B],
    third: _One[B, C],
    fourth: _One[C, D],
    /,
    *,
    name: str = ...,
) -> Workflow[D]: ...
@overload
def chain(
    first: Call[A],
    second: _One[A, B],
    third: _One[B, C],
    fourth: _One[C, D],
    fifth: _One[D, E],
    /,
    *rest: Task[..., Any],
    name: str = ...,
) -> Workflow[Any]: ...
def chain(first: Call[Any], /, *rest: Task[Any, Any], name: str = "chain") -> Workflow[Any]:
    """Return a workflow of tasks one after the other, each called with what the one before returned.

    Args:
        first: `task.call(...)`.
        rest: tasks that take one argument.
        name: of the workflow.
    """
    flow = Workflow(name)
    node = flow.add(first)
    for task in rest:
        node = flow.add(task, node.out)
    return flow.returns(node)


def group(calls: Iterable[Call[A]], *, name: str = "group") -> Workflow[list[A]]:
    """Return a workflow of calls side by side; its result is the list of what they returned, in their order."""
    flow = Workflow(name)
    nodes = [flow.add(call) for call in calls]
    return flow.returns(cast("Node[list[A]]", _list_of(flow, nodes)))


def chord(calls: Iterable[Call[A]], into: Task[Concatenate[list[A], ...], B], *, name: str = "chord") -> Workflow[B]:
    """Return a workflow of calls side by side and a task that is called with the list of what they returned.

    Args:
        calls: made by `task.call(...)`.
        into: takes the list.
        name: of the workflow.
    """
    flow = Workflow(name)
    nodes = [flow.add(call) for call in calls]
    return flow.returns(flow.add(into, [node.out for node in nodes]))


def _list_of(flow: Workflow[Any], nodes: list[Node[A]]) -> Node[Any]:
    return Node(flow, tuple(name for node in nodes for name in node.names))
