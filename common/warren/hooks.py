"""What a worker runs around jobs: functions in its modules, marked here.

    from warren.hooks import process_init, warren_init

    @process_init
    def connect() -> Iterator[None]:
        global pool
        pool = Pool(...)

Yield:
        pool.close()

The decorators only mark. A worker finds what is marked in the modules it is started with, as it finds tasks. A generator
function runs up to its `yield` at the start, and from there on when the process ends in order.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from warren.errors import InvalidHook

__all__ = ["Hook", "process_init", "warren_init"]

T = TypeVar("T")
Kind = Literal["process_init", "warren_init"]


@dataclass(frozen=True, slots=True)
class Hook(Generic[T]):
    """A marked function; calling it just runs it here."""

    kind: Kind
    function: Callable[[], T]

    def __call__(self) -> T:
        return self.function()

    @property
    def name(self) -> str:
        """Return `module:qualname`, for messages."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


def process_init(function: Callable[[], T]) -> Hook[T]:
    """Have a function run once in every pool process, after its modules are imported and before its first job.

    For what a process needs for itself: connections, clients, pools of them.

    Raises:
        InvalidHook: it takes arguments, or is a coroutine function.
    """
    return _hook("process_init", function)


def warren_init(function: Callable[[], T]) -> Hook[T]:
    """Have a function run once in a worker, before its processes are forked, which then share what it made.

    For what is large and only read: a model, a table. Threads and connections do not survive a fork: those are for
    `process_init`. With `start_method = "spawn"` nothing is shared, and it runs in every process.

    Raises:
        InvalidHook: it takes arguments, or is a coroutine function.
    """
    return _hook("warren_init", function)


def _hook(kind: Kind, function: Callable[[], T]) -> Hook[T]:
    hook = Hook(kind, function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidHook(
            kind, hook.name, "it is a coroutine function, and no event loop runs then; make it a plain one"
        )
    needed = [each.name for each in inspect.signature(function).parameters.values() if _is_needed(each)]
    if needed:
        raise InvalidHook(kind, hook.name, f"it needs arguments ({', '.join(needed)}), and nobody gives any")
    return hook


def _is_needed(parameter: inspect.Parameter) -> bool:
    anything = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in anything
