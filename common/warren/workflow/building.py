"""Declaring workflows: nodes are calls of tasks, and where one takes another's output, that makes the edge.

A value while it is built: nothing is sent, and no broker is needed, until a producer starts it.
"""

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import msgspec
from msgspec.structs import replace

from warren.codec import NotEncodable, encode
from warren.errors import InvalidArguments, InvalidWorkflow
from warren.job import new_id
from warren.options import in_seconds
from warren.signature import Arguments
from warren.task import Call, NamedTask, Task, named
from warren.workflow import graph
from warren.workflow.states import OnFailure

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

AnyTask = Task[Any, Any] | NamedTask
Shape = str | tuple[str, ...] | Mapping[str, str]
"""What stands for an output: one node, or those of a nested workflow as a list or as an object by their names."""
Path = tuple[int | str, ...]
_NO_NAME = re.compile(r"[^A-Za-z0-9_.:-]+")


class Node(Generic[R_co]):
    """A node of a workflow that is being built, and its output as an argument of others; made by `Workflow.add`."""

    def __init__(self, workflow: "Workflow[Any]", shape: Shape, policy: OnFailure | None = None) -> None:
        self.workflow = workflow
        self.shape = shape
        self.policy = policy

    def __repr__(self) -> str:
        return f"<output of {', '.join(map(repr, self.names))} in workflow {self.workflow.name!r}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The node's name; of a nested workflow, those of its nodes that make its result."""
        shape = self.shape
        return (shape,) if isinstance(shape, str) else tuple(shape.values() if isinstance(shape, Mapping) else shape)

    @property
    def out(self) -> R_co:
        """What the task returns, for use as an argument: to a type checker it is that value, when run it is this node."""
        return cast("R_co", self)

    @property
    def or_none(self) -> R_co | None:
        """As `out`, where the other node shall run also when this one is not done, and be given None then."""
        return cast("R_co | None", Node(self.workflow, self.shape, OnFailure.CONTINUE))

    @property
    def or_skip(self) -> R_co:
        """As `out`, where the other node shall be skipped when this one is not done, and nothing else come of it."""
        return cast("R_co", Node(self.workflow, self.shape, OnFailure.SKIP))


class Workflow(Generic[R_co]):
    """Jobs that depend on each other: any graph without cycles.

    Args:
        name: for people; it need not be unique.
    """

    def __init__(self: "Workflow[Any]", name: str) -> None:
        self.name = name
        self.nodes: dict[str, graph.Node] = {}
        self.types: dict[str, Any] = {}
        """What each node's task returns."""
        self._result: Shape | None = None

    @overload
    def add(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Node[R]: ...
    @overload
    def add(self, task: NamedTask | str, /, *args: object, **kwargs: object) -> Node[Any]: ...
    @overload
    def add(self, task: Call[R], /) -> Node[R]: ...
    @overload
    def add(self, task: "Workflow[R]", /) -> Node[R]: ...
    def add(self, task: Any, /, *args: Any, **kwargs: Any) -> Node[Any]:
        """Add a node: one call of a task, or a nested workflow.

        Args:
            task: a task, `task.options(...)`, a task's name, a bound `task.call(...)`, or another workflow, whose nodes are copied.
            args: the task's arguments; `node.out` of another node, also inside lists, tuples and dicts, is its output.
            kwargs: likewise.

        Raises:
            InvalidArguments: they do not fit the task.
            InvalidWorkflow: a node of another workflow, a name given twice.
        """
        return self.step().add(task, *args, **kwargs)

    def step(
        self,
        name: str = "",
        *,
        after: Iterable[Node[Any]] = (),
        on_failure: OnFailure | str = OnFailure.FAIL,
        may_fail: bool = False,
    ) -> "Step":
        """Say more of the node that is added to what this returns: `flow.step("load", after=[audit]).add(load, clean.out)`.

        Args:
            name: of the node, unique in its workflow; by default the function's, numbered where it is taken.
            after: nodes that must have ended before, besides those whose output it takes.
            on_failure: `fail`, `skip` or `continue`: what it means when one that it comes after is not done, where
                `or_none` or `or_skip` does not say it.
            may_fail: whether the workflow is done also when this node, on which nothing depends, is not.

        Raises:
            InvalidWorkflow: there is no such policy.
        """
        return Step(self, name, tuple(after), self._policy(on_failure), may_fail)

    def returns(self, node: Node[T]) -> "Workflow[T]":
        """Have this node's output be the workflow's result; by default it is that of the only node on which nothing depends."""
        self._own(node)
        self._result = node.shape
        return cast("Workflow[T]", self)

    def definition(self, now: float, reply_to: str | None = None) -> graph.Definition:
        """Return what is sent: the whole workflow, with a new id.

        Raises:
            InvalidWorkflow: it has no nodes, or too many.
        """
        result = tuple(self._result.values()) if isinstance(self._result, Mapping) else self._result
        made = graph.Definition(new_id(now), self.name, dict(self.nodes), result, now, reply_to)
        graph.Graph.of(made)
        return made

    @property
    def result(self) -> Shape:
        """Which outputs make the result."""
        if self._result is not None:
            return self._result
        before = {name for node in self.nodes.values() for name in node.after}
        sinks = [name for name in self.nodes if name not in before]
        return sinks[0] if len(sinks) == 1 else {name: name for name in sinks}

    @property
    def result_type(self) -> Any:
        """What the result is rebuilt into: the annotated return type, a list of it, or whatever JSON gives."""
        result = self.result
        if isinstance(result, str):
            return self.types[result]
        kinds = [self.types[name] for name in (result.values() if isinstance(result, Mapping) else result)]
        if isinstance(result, Mapping) or not kinds or any(kind != kinds[0] for kind in kinds):
            return Any
        return types.GenericAlias(list, (kinds[0],))

    def _policy(self, said: OnFailure | str) -> OnFailure:
        try:
            return OnFailure(said)
        except ValueError:
            raise InvalidWorkflow(self.name, f"on_failure={said!r}: take 'fail', 'skip' or 'continue'") from None

    def _own(self, node: Node[Any]) -> None:
        if not isinstance(node, Node):
            raise InvalidWorkflow(self.name, f"{node!r:.80} is no node; take what `add` returned")
        if node.workflow is not self:
            raise InvalidWorkflow(self.name, f"{node!r} is of another workflow; add that one to this with `add`")


class Step:
    """What is said of a node before it is added; made by `Workflow.step`."""

    def __init__(
        self,
        workflow: Workflow[Any],
        name: str,
        after: Sequence[Node[Any]],
        policy: OnFailure,
        may_fail: bool,
    ) -> None:
        self._workflow = workflow
        self._name = name
        self._after = after
        self._policy = policy
        self._may_fail = may_fail

    @overload
    def add(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Node[R]: ...
    @overload
    def add(self, task: NamedTask | str, /, *args: object, **kwargs: object) -> Node[Any]: ...
    @overload
    def add(self, task: Call[R], /) -> Node[R]: ...
    @overload
    def add(self, task: Workflow[R], /) -> Node[R]: ...
    def add(self, task: Any, /, *args: Any, **kwargs: Any) -> Node[Any]:
        """Add the node; see `Workflow.add`."""
        if isinstance(task, Workflow):
            return self._nest(task)
        if isinstance(task, Call):
            return self._place(task.task, task.arguments, [])
        reference = named(task) if isinstance(task, str) else task
        inputs = [*_outputs(args, ()), *_outputs(kwargs, ())]
        arguments = reference.signature.dump_with(args, kwargs, _dumping(reference))
        return self._place(reference, arguments, inputs)

    def _place(self, task: AnyTask, arguments: Arguments, found: Sequence[tuple[Path, Node[Any]]]) -> Node[Any]:
        workflow = self._workflow
        name = self._free_name(task.name.rpartition(":")[2])
        for _, output in found:
            workflow._own(output)  # noqa: SLF001 - its own builder
        node = graph.Node(
            task=task.name,
            queue=task.settings.queue,
            args=arguments.args,
            kwargs=arguments.kwargs,
            after=self._edges(name, [*self._after, *(output for _, output in found)]),
            inputs=tuple(given for path, output in found for given in _inputs(path, output.shape)),
            may_fail=self._may_fail,
            **_options(task),
        )
        workflow.nodes[name] = node
        workflow.types[name] = task.signature.result
        return Node(workflow, name)

    def _edges(self, name: str, before: Iterable[Node[Any]]) -> dict[str, OnFailure]:
        edges: dict[str, OnFailure] = {}
        for node in before:
            self._workflow._own(node)  # noqa: SLF001 - its own builder
            policy = node.policy or self._policy
            for upstream in node.names:
                if edges.setdefault(upstream, policy) is not policy:
                    why = f"node {name!r} says both {edges[upstream]} and {policy} of {upstream!r}; an edge has one policy"
                    raise InvalidWorkflow(self._workflow.name, why)
        return edges

    def _nest(self, inner: Workflow[Any]) -> Node[Any]:
        """Copy another workflow's nodes, under names that begin with its own."""
        outer, whole = self._workflow, inner.definition(0.0)
        prefix = self._free_name(inner.name, inside=True)
        edges = self._edges(prefix, self._after)
        new = {name: f"{prefix}/{name}" for name in whole.nodes}
        for name, node in whole.nodes.items():
            outer.nodes[new[name]] = replace(
                node,
                after={new[upstream]: policy for upstream, policy in node.after.items()} or edges,
                inputs=tuple(graph.Input(new[given.node], given.at) for given in node.inputs),
                may_fail=node.may_fail or self._may_fail,
            )
            outer.types[new[name]] = inner.types[name]
        return Node(outer, _renamed(inner.result, new))

    def _free_name(self, derived: str, *, inside: bool = False) -> str:
        """The name that was given, or one that is not taken yet; a nested workflow's is the beginning of others."""
        taken = set(self._workflow.nodes) | {name.partition("/")[0] for name in self._workflow.nodes if "/" in name}
        if self._name:
            if self._name in taken:
                raise InvalidWorkflow(self._workflow.name, f"two nodes are called {self._name!r}")
            return self._name
        base = _NO_NAME.sub("-", derived).lstrip(".:-")[:150] or ("part" if inside else "node")
        numbers = (f"{base}-{number}" for number in range(2, len(taken) + 3))
        return base if base not in taken else next(name for name in numbers if name not in taken)


def _options(task: AnyTask) -> dict[str, Any]:
    settings = task.settings
    return {
        "delay": in_seconds(settings.delay),
        "at": settings.at.timestamp() if settings.at is not None else None,
        "expires": in_seconds(settings.expires),
        "deadline": in_seconds(settings.deadline),
        "priority": settings.priority,
        "limits": task.limits,
    }


def _outputs(value: object, path: Path) -> Iterator[tuple[Path, Node[Any]]]:
    """Find the outputs of other nodes in arguments."""
    if isinstance(value, Node):
        yield path, value
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _outputs(part, (*path, place))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _outputs(part, (*path, key))


def _inputs(path: Path, shape: Shape) -> Iterator[graph.Input]:
    if isinstance(shape, str):
        yield graph.Input(shape, path)
        return
    parts: Iterable[tuple[int | str, str]] = shape.items() if isinstance(shape, Mapping) else enumerate(shape)
    for place, name in parts:
        yield graph.Input(name, (*path, place))


def _dumping(task: AnyTask) -> Callable[[str, object], msgspec.Raw]:
    """How an argument is written: checked where all of it is known; with null where an output will be."""

    def dump(name: str, value: object) -> msgspec.Raw:
        if next(_outputs(value, ()), None) is None:
            return task.signature.dump_one(name, value)
        try:
            return msgspec.Raw(encode(_with_nulls(value)))
        except NotEncodable as error:
            raise InvalidArguments(task.name, f"argument {name!r}: {error}") from error

    return dump


def _with_nulls(value: object) -> object:
    if isinstance(value, Node):
        shape = value.shape
        return (
            None
            if isinstance(shape, str)
            else dict.fromkeys(shape)
            if isinstance(shape, Mapping)
            else [None] * len(shape)
        )
    if isinstance(value, list | tuple):
        return [_with_nulls(part) for part in value]
    if isinstance(value, dict):
        return {key: _with_nulls(part) for key, part in value.items()}
    return value


def _renamed(shape: Shape, new: Mapping[str, str]) -> Shape:
    if isinstance(shape, str):
        return new[shape]
    if isinstance(shape, Mapping):
        return {name: new[node] for name, node in shape.items()}
    return tuple(new[node] for node in shape)
