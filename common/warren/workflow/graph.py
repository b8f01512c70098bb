"""A workflow as it is submitted: frozen values that are JSON on the wire (docs/protocol.md), and the order of its nodes."""

import graphlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from warren.errors import InvalidWorkflow
from warren.limits import Limits
from warren.workflow.states import OnFailure

MAX_NODES = 1_000
MAX_BYTES = 4 * 1024 * 1024
"""Of a definition as JSON. More of the same is a map; big things belong into a file or an object store."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_PART = re.compile(r"([^@]+)@(\d{1,3})\.(\d{1,12})(?:\.(\d{1,12}))?")
_JOBS = uuid.UUID("6f2d6a52-9c5b-4b0e-8d3f-1f0f2f6f7a11")
"""Namespace of the ids of workflows' jobs."""

MAX_CHUNKS = 100_000_000
MAX_SECONDS = 100 * 366 * 86_400.0
"""Of a delay, an expiry and a deadline; times on the wire are 64-bit milliseconds."""
_LAST_MOMENT = 100_000_000_000.0
"""In the year 5138."""
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the output of another node goes among a node's arguments.

    Attributes:
        node: whose output.
        at: first a position of `args` or a name of `kwargs`, then positions and names inside that argument; there stands null.
    """

    node: str
    at: tuple[int | str, ...]


class MapSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes a node a map whose chunks its producer enqueues itself, one after the other.

    Attributes:
        chunk: how many items a chunk has; the last may have fewer.
        into: the node whose task folds the ordered results: it takes a list of them, or of what it returned for earlier ones.
        fan_in: how many values one call of it takes at most.
        fan_in_bytes: how many bytes of JSON they have at most.
        tree: whether it may be called again with what it returned; else all results must fit into one call.
    """

    into: str
    chunk: Annotated[int, msgspec.Meta(ge=1)] = 1
    fan_in: Annotated[int, msgspec.Meta(ge=2)] = 10_000
    fan_in_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 128 * 1024
    tree: bool = True


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One call of a task, for when what it depends on has ended; durations in seconds, from when its job is enqueued.

    Attributes:
        after: every node that it depends on, for its output or only for the order, and what the other's failure means.
        inputs: which outputs go where.
        may_fail: whether the workflow is done also when this node, on which nothing depends, is not.
        at: not to be run before, seconds since the epoch.
        map: makes it a map.
    """

    task: str
    queue: str = "default"
    args: tuple[msgspec.Raw, ...] = ()
    kwargs: Mapping[str, msgspec.Raw] = {}
    after: Mapping[str, OnFailure] = {}
    inputs: tuple[Input, ...] = ()
    may_fail: bool = False
    delay: _Seconds | None = None
    at: float | None = None
    expires: _Seconds | None = None
    deadline: _Seconds | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = None
    limits: Limits | None = None
    map: MapSpec | None = None


_NONE = Node("")


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole workflow.

    Attributes:
        id: for life; submitting it twice is submitting it once.
        name: for people.
        result: the node whose output is the workflow's result, or several for a list; None for the only node on which nothing
            depends, or an object by name where there are several.
        created_at: seconds since the epoch.
        reply_to: routing key of whoever waits for the result.
    """

    id: str
    name: str
    nodes: Mapping[str, Node]
    result: str | tuple[str, ...] | None = None
    created_at: float = 0.0
    reply_to: str | None = None


def job_id(workflow_id: str, node: str, run: int) -> str:
    """Return the id of a node's job: the same for whoever enqueues it, however often.

    Args:
        workflow_id: the workflow's.
        node: the node's name.
        run: 1 at first, one more after each retry of the workflow that runs the node again.
    """
    return str(uuid.uuid5(_JOBS, f"{workflow_id}\n{node}\n{run}"))


def part_name(node: str, level: int, place: int, count: int | None = None) -> str:
    """Return what stands for the node in a job of a map: of a chunk (level 0, with how many items it has) or of its reduce."""
    return f"{node}@{level}.{place}" + ("" if count is None else f".{count}")


def part_of(name: str) -> tuple[str, int, int, int] | None:
    """Return node, level, place and items of such a name; None of any other."""
    found = _PART.fullmatch(name)
    return (found[1], int(found[2]), int(found[3]), int(found[4] or 1)) if found else None


@dataclass(frozen=True, slots=True)
class Graph:
    """A definition and what follows from it.

    Attributes:
        dependents: of each node.
        order: every node after those that it depends on.
    """

    definition: Definition
    dependents: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]

    @classmethod
    def of(cls, definition: Definition) -> "Graph":
        """Read a graph.

        Raises:
            InvalidWorkflow: it has no nodes or too many, a bad name, an unknown node, a cycle, or an input of no argument.
        """
        _check(definition)
        nodes = definition.nodes
        dependents: dict[str, list[str]] = {name: [] for name in nodes}
        for name, node in nodes.items():
            for upstream in node.after:
                dependents[upstream].append(name)
        try:
            order = tuple(
                graphlib.TopologicalSorter({name: tuple(node.after) for name, node in nodes.items()}).static_order()
            )
        except graphlib.CycleError as error:
            raise InvalidWorkflow(
                definition.name, f"its nodes wait for each other: {' → '.join(reversed(error.args[1]))}"
            ) from None
        return cls(definition, {name: tuple(found) for name, found in dependents.items()}, order)

    @property
    def sinks(self) -> tuple[str, ...]:
        """The nodes on which nothing depends, in the order of the definition."""
        return tuple(name for name in self.definition.nodes if not self.dependents[name])

    def policies(self, node: str) -> tuple[OnFailure, ...]:
        """Return what a node's failure means for each of its dependents."""
        return tuple(self.definition.nodes[dependent].after[node] for dependent in self.dependents[node])

    def is_fatal(self, node: str) -> bool:
        """Whether the workflow fails when this node does."""
        policies = self.policies(node)
        return OnFailure.FAIL in policies if policies else not self.definition.nodes[node].may_fail

    def descendants(self, nodes: set[str]) -> set[str]:
        """Return everything that depends on any of these nodes, directly or not."""
        found: set[str] = set()
        for name in self.order:
            if any(upstream in nodes or upstream in found for upstream in self.definition.nodes[name].after):
                found.add(name)
        return found


def _check(definition: Definition) -> None:
    problem = next(_problems(definition), None)
    if problem is not None:
        raise InvalidWorkflow(definition.name, problem)


def _problems(definition: Definition) -> Iterator[str]:
    nodes = definition.nodes
    if not nodes:
        yield "it has no nodes"
    if len(nodes) > MAX_NODES:
        yield f"it has {len(nodes):,} nodes and the limit is {MAX_NODES:,}: make many of one kind a map"
    for name, node in nodes.items():
        yield from _problems_of(name, node, nodes)
    results = (definition.result,) if isinstance(definition.result, str) else definition.result or ()
    for name in results:
        if name not in nodes:
            yield f"its result is of node {name!r}, which it does not have"


def _problems_of(name: str, node: Node, nodes: Mapping[str, Node]) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"{name!r} is no name of a node: take 1 to 200 letters, digits and the signs _ . : / -"
    if not node.task:
        yield f"node {name!r} has no task"
    yield from _problems_of_times(name, node)
    for upstream in node.after:
        if upstream not in nodes:
            yield f"node {name!r} comes after {upstream!r}, which it does not have"
    for given in node.inputs:
        if given.node not in node.after:
            yield f"node {name!r} takes the output of {given.node!r} and does not come after it"
        if not _is_place(given.at, node):
            yield f"node {name!r} takes the output of {given.node!r} at {list(given.at)}, where it has no argument"
    if node.map is not None and (node.after or name not in nodes.get(node.map.into, _NONE).after):
        yield f"map {name!r} comes after others, or its reduce {node.map.into!r} does not come after it"
    if len(node.after) > 1 and any(nodes[upstream].map for upstream in node.after if upstream in nodes):
        yield f"node {name!r} reduces a map and comes after other nodes, too"


def _problems_of_times(name: str, node: Node) -> Iterator[str]:
    for option, seconds in (("delay", node.delay), ("expires", node.expires), ("deadline", node.deadline)):
        if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
            yield f"{option} of node {name!r} is {seconds:g} s: take 0 to {MAX_SECONDS:.0f}, a hundred years"
    if node.at is not None and not abs(node.at) <= _LAST_MOMENT:
        yield f"at of node {name!r} is {node.at:g} s after 1970, which is no moment that can be waited for"


def _is_place(at: tuple[int | str, ...], node: Node) -> bool:
    if not at:
        return False
    first = at[0]
    return first in node.kwargs if isinstance(first, str) else 0 <= first < len(node.args)
