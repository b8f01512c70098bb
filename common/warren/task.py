"""Declaring tasks: a function, its name and its options. No connection, no global app, no import-time work."""

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from warren import limits as call_limits
from warren.errors import InvalidTask
from warren.options import Options, OptionsDict, Seconds, merged
from warren.signature import AnySignature, Arguments, Signature

__all__ = ["Call", "CoroutineTask", "NamedTask", "Options", "Seconds", "Task", "named", "task"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Task(Generic[P, R]):
    """A declared function; calling it just runs it here, producers enqueue it.

    Attributes:
        name: `module:qualname` unless given; what travels in messages.
        function: what was decorated.
        settings: the options, complete.
    """

    def __init__(
        self,
        function: Callable[P, R | Coroutine[Any, Any, R]],
        settings: Options,
        changed: Mapping[str, Any] | None = None,
    ) -> None:
        self.function = function
        self.settings = settings
        self._changed = changed or {}
        self.name = settings.name or default_name(function)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: Any = self.function(*args, **kwargs)
        return result  # type: ignore[no-any-return]  # a coroutine task narrows this

    def __repr__(self) -> str:
        return f"<task {self.name!r} on queue {self.settings.queue!r}>"

    def options(self, **changes: Unpack[OptionsDict]) -> "Task[P, R]":
        """Return a copy with other options; besides those of `@task` it takes `delay` and `at`.

        Raises:
            InvalidTask: an unknown option or an impossible value.
        """
        settings = merged(self.settings, changes, self.name)
        copy = type(self)(self.function, settings, {**self._changed, **changes})
        copy.name = settings.name or self.name
        call_limits.of_changes(copy._changed, self.name)  # noqa: SLF001 - its own kind; refuses what cannot travel
        return copy

    def call(self, *args: P.args, **kwargs: P.kwargs) -> "Call[R]":
        """Bind arguments, checked against the signature; for `enqueue_many`.

        Raises:
            InvalidArguments: they do not fit.
        """
        return Call(self, self.signature.dump(args, kwargs))

    @property
    def limits(self) -> call_limits.Limits | None:
        """What `options` changed of this task's limits; travels with the job."""
        return call_limits.of_changes(self._changed, self.name)

    @cached_property
    def signature(self) -> Signature:
        """Parameters and annotations, read when first needed."""
        return Signature.of(self.name, self.function)

    @property
    def is_coroutine(self) -> bool:
        return inspect.iscoroutinefunction(self.function)


class CoroutineTask(Task[P, R]):
    """A task declared with `async def`; calling it here gives the coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        result: Any = self.function(*args, **kwargs)
        return result  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class NamedTask:
    """A task known only by its name, as in another service's code; made by `named`."""

    name: str
    settings: Options

    limits: call_limits.Limits | None = None

    @property
    def signature(self) -> AnySignature:
        return AnySignature(self.name)

    def call(self, *args: object, **kwargs: object) -> "Call[Any]":
        """Bind arguments; only what JSON can carry is checked here, the rest by the worker.

        Raises:
            InvalidArguments: something cannot be written as JSON.
        """
        return Call(self, self.signature.dump(args, kwargs))


def named(task_name: str, /, **options: Unpack[OptionsDict]) -> NamedTask:
    """Return a reference to a task by its name, without importing its code; the options are the call's.

    Raises:
        InvalidTask: an unknown option or an impossible value.
    """
    if not task_name:
        raise InvalidTask("a task's name is empty; it is `module:function` unless the task was declared with name=")
    return NamedTask(task_name, merged(Options(), options, task_name), call_limits.of_changes(options, task_name))


@dataclass(frozen=True, slots=True)
class Call(Generic[R_co]):
    """A task with its arguments bound: a job that is not enqueued yet."""

    task: Task[Any, R_co] | NamedTask
    arguments: Arguments


class TaskDecorator(Protocol):
    """What `@task(...)` gives: turns a function or coroutine function into a task."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[OptionsDict]) -> TaskDecorator: ...
def task(function: Callable[..., Any] | None = None, /, **options: Unpack[OptionsDict]) -> Any:
    """Declare a function as a task: `@task` or `@task(queue="images", retry=Retry(attempts=3), timeout=30)`.

    Args:
        function: a plain or coroutine function at the top level of a module.
        options: name, queue, retry, max_crashes, timeout, kill_after, expires, deadline, priority, result (see `Options`).

    Raises:
        InvalidTask: an unknown option, an impossible value, or a function that no worker could find again.
    """

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        name = getattr(function, "__qualname__", repr(function))
        settings = merged(Options(), options, name)
        kind = CoroutineTask if inspect.iscoroutinefunction(function) else Task
        return kind(function, settings)

    return declare if function is None else declare(function)


def default_name(function: Callable[..., Any]) -> str:
    """Return `module:qualname`, with the real module name when it is being run as a script.

    Raises:
        InvalidTask: a nested function or lambda, which a worker could not import.
    """
    module, name = function.__module__, function.__qualname__
    if "<" in name:
        raise InvalidTask(f"{name!r} is not at the top level of a module, so no worker could import it; move it there")
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec else Path(getattr(main, "__file__", None) or "__main__").stem
    return f"{module}:{name}"
