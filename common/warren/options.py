"""A task's options: one frozen value, complete, valid by construction."""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import NoneType
from typing import Any, TypedDict

from warren.errors import InvalidName, InvalidTask
from warren.retry import Retry
from warren.topology import check_name

Seconds = float | timedelta
MAX_PRIORITY = 9
MAX_YEARS = 100
MAX_SECONDS = MAX_YEARS * 365.25 * 86_400
"""Of any duration; moments have to fit into the headers of messages."""


class OptionsDict(TypedDict, total=False):
    """The options as keywords."""

    name: str
    queue: str
    retry: Retry
    max_crashes: int
    timeout: Seconds | None
    kill_after: Seconds | None
    expires: Seconds | None
    deadline: Seconds | None
    priority: int | None
    result: bool
    delay: Seconds | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be said of a task, or with `Task.options` of one call of it.

    Args:
        name: what travels in messages; `module:qualname` when empty.
        queue: where its jobs wait.
        retry: when and how often a failed attempt is tried again.
        max_crashes: how often a job may kill its process before it is a dead letter.
        timeout: seconds after which an exception, `TimeLimitExceeded`, is raised inside the task; a failure like any other.
        kill_after: seconds after which its process is killed; charged as a crash.
        expires: seconds after enqueuing (or after its delay) by which it must have started.
        deadline: seconds after enqueuing (or after its delay) by which it must have ended, all attempts together.
        priority: 0 to 9, higher first, where the broker can (RabbitMQ 4).
        result: False when nobody waits for it: none is published.
        delay: seconds to wait before it is queued.
        at: the moment to queue it, with a time zone; instead of `delay`.
    """

    name: str = ""
    queue: str = "default"
    retry: Retry = field(default_factory=Retry)
    max_crashes: int = 3
    timeout: Seconds | None = None
    kill_after: Seconds | None = None
    expires: Seconds | None = None
    deadline: Seconds | None = None
    priority: int | None = None
    result: bool = True
    delay: Seconds | None = None
    at: datetime | None = None

    def delay_seconds(self, now: float) -> float:
        """Return how long to wait from `now` (seconds since the epoch); 0 for not at all."""
        if self.at is not None:
            return max(0.0, self.at.timestamp() - now)
        return in_seconds(self.delay) or 0.0


def in_seconds(value: Seconds | None) -> float | None:
    """Return a duration in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def merged(base: Options, changes: Mapping[str, Any], task: str) -> Options:
    """Return options with changes, checked.

    Raises:
        InvalidTask: naming the task, the option and what it can be.
    """
    known = [item.name for item in fields(Options)]
    for key in changes:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise InvalidTask(f"task {task!r} has no option {key!r}; {hint}")
    options = replace(base, **changes)
    problem = next(chain(_wrong_kinds(options), _problems(options)), None)
    if problem is not None:
        raise InvalidTask(f"task {task!r}: {problem}")
    return options


def _wrong_kinds(options: Options) -> Iterator[str]:
    """Where no type checker looks, a wrong kind of value would else be told by Python, far from its cause."""
    for names, kinds, what in _KINDS:
        for name in names:
            value = getattr(options, name)
            is_bool = isinstance(value, bool) and bool not in kinds
            if not isinstance(value, kinds) or is_bool:
                yield f"{name}={value!r}: take {what}"


_KINDS: tuple[tuple[tuple[str, ...], tuple[type, ...], str], ...] = (
    (("name", "queue"), (str,), "a text"),
    (("max_crashes",), (int,), "a whole number"),
    (("priority",), (int, NoneType), f"a whole number from 0 to {MAX_PRIORITY}, or None"),
    (
        ("timeout", "kill_after", "expires", "deadline", "delay"),
        (int, float, timedelta, NoneType),
        "seconds, a timedelta, or None",
    ),
    (("at",), (datetime, NoneType), "a datetime with a time zone, or None"),
    (("result",), (bool,), "True or False"),
)


def _problems(options: Options) -> Iterator[str]:
    try:
        check_name(options.queue, "queue")
    except InvalidName as error:
        yield str(error)
    if not isinstance(options.retry, Retry):
        yield f"retry={options.retry!r} is no policy; take Retry(attempts=...)"
    if options.max_crashes < 1:
        yield f"max_crashes={options.max_crashes}: take at least 1"
    if options.priority is not None and not 0 <= options.priority <= MAX_PRIORITY:
        yield f"priority={options.priority} is not between 0 and {MAX_PRIORITY}"
    for name in ("timeout", "kill_after", "expires", "deadline"):
        seconds = in_seconds(getattr(options, name))
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            yield f"{name}={seconds}: take a number of seconds above 0, and not more than {MAX_YEARS} years"
    delay = in_seconds(options.delay)
    if delay is not None and not 0 <= delay < math.inf:
        yield f"delay={delay}: take a number of seconds, 0 or more"
    if options.at is not None and options.at.tzinfo is None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        yield f"at={options.at.isoformat()} has no time zone; say which one is meant, as in {now}"
    if options.at is not None and options.delay is not None:
        yield "both delay and at are given; take one"
