"""Declaring schedules: which task is enqueued when. No clock, no database: `warren scheduler` reads them and acts.

What a rule means on a calendar, with its time zones and daylight saving, is APScheduler's to say (see `warren.scheduler.triggers`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import msgspec

from warren.errors import InvalidArguments, InvalidSchedule, InvalidTask
from warren.limits import Limits
from warren.options import MAX_SECONDS, MAX_YEARS, Options, Seconds, in_seconds
from warren.task import NamedTask, Task

__all__ = ["Cron", "Interval", "Misfire", "Once", "Order", "Overlap", "Schedule", "Spec", "collect", "every", "once"]

GRACE_SECONDS = 60.0
_NOTES = "__warren_schedules__"
"""Where on a task's function its schedules are noted; so they are found whether `@every` is above or below `@task`."""
_CRON_FIELDS = 5
_SHORTEST_SECONDS = 1.0

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Misfire(StrEnum):
    """What becomes of due times that nobody was there for; those not older than the grace time count as in time.

    RUN_ONCE makes up for all of them with one job, RUN_ALL with one each, SKIP with none.
    """

    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"
    SKIP = "skip"


class Overlap(StrEnum):
    """What becomes of a due time while the schedule's previous job has not ended.

    QUEUE enqueues another job, SKIP none, CANCEL_RUNNING cancels the previous one and enqueues another.
    """

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_RUNNING = "cancel_running"


class Cron(msgspec.Struct, frozen=True, tag="cron", tag_field="kind"):
    """A crontab line of five fields, read on the clocks of a time zone."""

    line: str
    tz: str = "UTC"


class Interval(msgspec.Struct, frozen=True, tag="interval", tag_field="kind"):
    """Every so many seconds, counted from the start, or without one from the beginning of 1970 in UTC."""

    seconds: float
    tz: str = "UTC"


class Once(msgspec.Struct, frozen=True, tag="once", tag_field="kind"):
    """At one moment, in seconds since the epoch."""

    at: float
    tz: str = "UTC"


Rule = Cron | Interval | Once


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a schedule is due, and what becomes of due times that come at a bad moment; durations in seconds, moments since the epoch."""

    rule: Rule
    misfire: Misfire = Misfire.RUN_ONCE
    grace: float = GRACE_SECONDS
    overlap: Overlap = Overlap.QUEUE
    jitter: float = 0.0
    start: float | None = None
    end: float | None = None


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """The job that a schedule enqueues: all that its message needs, so that nobody has to import the task's code for it."""

    task: str
    queue: str = "default"
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}
    priority: int | None = None
    expires: float | None = None
    deadline: float | None = None
    limits: Limits | None = None
    wants_result: bool = True


class Schedule(msgspec.Struct, frozen=True):
    """A named rule with the job it enqueues; `paused` is how it begins."""

    name: str
    spec: Spec
    order: Order
    paused: bool = False


class ScheduleOptions(TypedDict, total=False):
    """What can be said of every schedule, as keywords.

    `name` is the task's unless given; `args` and `kwargs` are the task's arguments; `grace` and `jitter` are durations.
    """

    name: str
    args: Sequence[object]
    kwargs: Mapping[str, object]
    misfire: Literal["run_once", "run_all", "skip"]
    grace: Seconds
    overlap: Literal["queue", "skip", "cancel_running"]
    jitter: Seconds
    start: datetime | None
    end: datetime | None
    paused: bool


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A schedule as it was declared: a decorator for a function below `@task`, or for a task."""

    spec: Spec
    name: str = ""
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] | None = None
    paused: bool = False
    task: Task[..., Any] | None = None

    def __call__(self, task: F, /) -> F:
        """Note this schedule on a task or on what will be one, and return that as it is.

        Raises:
            InvalidSchedule: nothing can be noted on it.
        """
        given = _as_task(task)
        function = task if given is None else given.function
        noted = replace(self, task=given)
        try:
            setattr(function, _NOTES, (*getattr(function, _NOTES, ()), noted))
        except AttributeError as error:
            raise InvalidSchedule(f"{told(self.spec)} on {task!r}: take a task, or the function of one") from error
        return task


@overload
def every(cron: str, /, *, tz: str = "UTC", **options: Unpack[ScheduleOptions]) -> Plan: ...
@overload
def every(interval: timedelta, /, *, tz: str = "UTC", **options: Unpack[ScheduleOptions]) -> Plan: ...
@overload
def every(
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    tz: str = "UTC",
    **options: Unpack[ScheduleOptions],
) -> Plan: ...
def every(
    rule: str | timedelta | None = None,
    /,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    tz: str = "UTC",
    **options: Unpack[ScheduleOptions],
) -> Plan:
    """Schedule a task again and again: `@every("*/5 * * * *", tz="Europe/Paris")` or `@every(seconds=30)`, above or below `@task`.

    Args:
        rule: a crontab line, or a timedelta instead of the keywords.
        seconds: together with the others the interval; it counts real time, also over a change of the clocks.
        minutes: see `seconds`.
        hours: see `seconds`.
        days: see `seconds`; 24 hours each.
        tz: time zone of a crontab line, and for showing moments.
        options: name, args, kwargs, misfire, grace, overlap, jitter, start, end, paused (see `ScheduleOptions`).

    Raises:
        InvalidSchedule: what was said cannot be meant.
    """
    try:
        length = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
    except (OverflowError, ValueError, TypeError) as error:
        raise InvalidSchedule(f"every(...): this is no interval: {error}") from error
    if rule is not None and length:
        raise InvalidSchedule(f"every({rule!r}, ...): take a rule, or seconds, minutes, hours and days; not both")
    if isinstance(rule, str):
        return planned(Cron(" ".join(rule.split()), tz), options)
    return planned(Interval((length if rule is None else rule).total_seconds(), tz), options)


def once(at: datetime, /, *, tz: str = "", **options: Unpack[ScheduleOptions]) -> Plan:
    """Schedule a task at one moment: `@once(datetime(2030, 1, 1, tzinfo=UTC))`.

    Args:
        at: with a time zone. A moment that is over when a scheduler first hears of it does not come.
        tz: for showing it; that of `at` unless given.
        options: as of `every`.

    Raises:
        InvalidSchedule: what was said cannot be meant.
    """
    moment = _moment("at", at)
    return planned(Once(0.0 if moment is None else moment, tz or getattr(at.tzinfo, "key", "UTC")), options)


def planned(rule: Rule, options: ScheduleOptions) -> Plan:
    """Return the declaration of a rule with its options, checked.

    Raises:
        InvalidSchedule: naming the option and what it can be.
    """
    unknown = [name for name in options if name not in ScheduleOptions.__annotations__]
    if unknown:
        known = ", ".join(ScheduleOptions.__annotations__)
        raise InvalidSchedule(f"a schedule has no option {unknown[0]!r}; there are: {known}")
    spec = Spec(
        rule,
        _choice(Misfire, "misfire", options.get("misfire", Misfire.RUN_ONCE)),
        _duration("grace", options.get("grace", GRACE_SECONDS)),
        _choice(Overlap, "overlap", options.get("overlap", Overlap.QUEUE)),
        _duration("jitter", options.get("jitter", 0.0)),
        _moment("start", options.get("start")),
        _moment("end", options.get("end")),
    )
    check(spec)
    args, kwargs = tuple(options.get("args", ())), dict(options.get("kwargs", {}))
    return Plan(spec, options.get("name", ""), args, kwargs, options.get("paused", False))


def check(spec: Spec) -> None:
    """Refuse a rule that cannot be meant, as far as that can be told without a calendar.

    Raises:
        InvalidSchedule: saying what it can be.
    """
    match spec.rule:
        case Cron(line=line) if len(line.split()) != _CRON_FIELDS:
            raise InvalidSchedule(
                f"{line!r} is no crontab line: take five fields, `minute hour day month weekday`, as '*/5 * * * *'"
            )
        case Interval(seconds=seconds) if not _SHORTEST_SECONDS <= seconds < math.inf:
            raise InvalidSchedule(f"an interval of {seconds:g} s: take at least {_SHORTEST_SECONDS:g} s")
        case _:
            pass
    if spec.start is not None and spec.end is not None and spec.end < spec.start:
        raise InvalidSchedule(f"{told(spec)} ends before it starts")


def told(spec: Spec) -> str:
    """Return a schedule's rule as it is written."""
    match spec.rule:
        case Cron(line=line, tz=tz):
            return f"every({line!r}, tz={tz!r})"
        case Interval(seconds=seconds):
            return f"every(seconds={seconds:g})"
        case Once(at=at):
            return f"once({at:.0f})"


def collect(tasks: Iterable[Task[..., Any]]) -> tuple[tuple[Schedule, ...], tuple[str, ...]]:
    """Return the schedules of these tasks, and everything that is wrong with others."""
    found: dict[str, Schedule] = {}
    problems: list[str] = []
    seen: set[int] = set()
    for task in tasks:
        for plan in getattr(task.function, _NOTES, ()):
            if id(plan) in seen:
                continue
            seen.add(id(plan))
            try:
                schedule = of_plan(plan, plan.task or task)
            except (InvalidSchedule, InvalidArguments, InvalidTask) as error:
                problems.append(f"schedule {plan.name or task.name!r}: {error}")
                continue
            other = found.setdefault(schedule.name, schedule)
            if other is not schedule:
                problems.append(_same_name(other, schedule))
    return tuple(found.values()), tuple(problems)


def of_plan(plan: Plan, task: Task[..., Any] | NamedTask) -> Schedule:
    """Return the schedule that a declaration makes of a task.

    Raises:
        InvalidSchedule, InvalidArguments, InvalidTask: it makes none.
    """
    options = task.settings
    _suits(plan.spec, options)
    arguments = task.signature.dump(plan.args, plan.kwargs or {})
    order = Order(
        task.name,
        options.queue,
        list(arguments.args),
        dict(arguments.kwargs),
        options.priority,
        in_seconds(options.expires),
        in_seconds(options.deadline),
        task.limits,
        options.result,
    )
    return Schedule(plan.name or task.name, plan.spec, order, plan.paused)


def _suits(spec: Spec, options: Options) -> None:
    if options.delay is not None or options.at is not None:
        raise InvalidSchedule("its task has a delay= or at=, and a schedule says when itself; leave them out")
    if not options.result and spec.overlap is not Overlap.QUEUE:
        raise InvalidSchedule(
            f"overlap={spec.overlap.value!r} needs to hear when a job has ended, and its task has result=False; remove that"
        )


def _as_task(declared: object) -> Task[..., Any] | None:
    return declared if isinstance(declared, Task) else None


def _same_name(one: Schedule, other: Schedule) -> str:
    rules = " and ".join(f"{told(each.spec)} of task {each.order.task!r}" for each in (one, other))
    return f"two schedules have the name {one.name!r}: {rules}; give one of them another with name="


def _choice(kind: Callable[[str], T], name: str, value: str) -> T:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(str(choice)) for choice in kind)  # type: ignore[attr-defined]  # an enum
        raise InvalidSchedule(f"{name}={value!r}: take one of {allowed}") from None


def _duration(name: str, value: Seconds) -> float:
    seconds = in_seconds(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SECONDS:
        raise InvalidSchedule(
            f"{name}={value!r}: take seconds, 0 or more, or a timedelta; not more than {MAX_YEARS} years"
        )
    return float(seconds)


def _moment(name: str, value: datetime | None) -> float | None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise InvalidSchedule(f"{name}={value!r}: take a datetime with a time zone")
    return None if value is None else round(value.timestamp(), 3)
