"""What is told of schedules, to humans and as JSON: pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from warren.console.amounts import span
from warren.console.grid import Column
from warren.console.output import as_line, clock, iso
from warren.schedule import Cron, Interval, Once, Order, Rule
from warren.store.schedules import Fire, FireState, Stored

COLUMNS = (
    Column("name", least=12),
    Column("when", least=12),
    Column("state"),
    Column("next, UTC"),
    Column("last", spare=1),
    Column("task", least=12, spare=2),
)
RUN_HEADINGS = ("next", "UTC", "in")
FIRE_HEADINGS = ("due, UTC", "state", "late", "job")
OVERDUE_SECONDS = 15.0
"""A schedule that is due for so long has nobody who fires it: a standby takes over sooner."""


def row(stored: Stored, last: Fire | None) -> tuple[str, ...]:
    """Return a line of the list."""
    return (
        stored.name,
        when(stored.schedule.spec.rule),
        state(stored),
        clock(stored.next_due),
        "" if last is None else f"{last.state} {clock(last.due)[5:16]}",
        stored.schedule.order.task,
    )


def when(rule: Rule) -> str:
    """Return a rule in few words."""
    match rule:
        case Cron(line=line, tz=tz):
            return line if tz == "UTC" else f"{line} {tz}"
        case Interval(seconds=seconds):
            return f"every {span(seconds)}"
        case Once(at=at):
            return f"once, {clock(at)}"


def state(stored: Stored) -> str:
    """Return whether it fires, or why not."""
    if stored.retired:
        return "retired"
    if stored.paused:
        return "paused"
    return "active" if stored.next_due is not None else "over"


def pairs(stored: Stored) -> Iterator[tuple[str, object]]:
    """Return all that was said of a schedule, by name."""
    spec, order = stored.schedule.spec, stored.schedule.order
    yield "name", stored.name
    yield "when", when(spec.rule)
    yield "state", state(stored)
    yield "task", order.task
    yield "queue", order.queue
    yield "arguments", call(order)
    yield "options", ", ".join(_options(order))
    yield "misfire", f"{spec.misfire.value}, grace {spec.grace:g} s"
    yield "overlap", spec.overlap.value
    yield "jitter", f"up to {spec.jitter:g} s" if spec.jitter else None
    yield "start", iso(spec.start)
    yield "end", iso(spec.end)
    yield "origin", "declared in code" if stored.origin == "code" else "made at run time"
    yield "since", iso(stored.created_at)


def call(order: Order) -> str:
    """Return the arguments as they are written in a call."""
    args = [as_line(msgspec.json.decode(arg)) for arg in order.args]
    return ", ".join(
        [*args, *(f"{name}={as_line(msgspec.json.decode(value))}" for name, value in order.kwargs.items())]
    )


def runs(stored: Stored, moments: Sequence[float], now: float) -> Iterator[tuple[str, str, str]]:
    """Return a line for each of the next runs: in the schedule's zone, in UTC, and how long it is till then."""
    tz = stored.schedule.spec.rule.tz
    zone = UTC if tz == "UTC" else ZoneInfo(tz)
    for moment in moments:
        local = datetime.fromtimestamp(moment, zone)
        yield local.strftime("%a %Y-%m-%d %H:%M:%S %Z"), clock(moment), span(max(0.0, moment - now))


def fire_row(fire: Fire) -> tuple[str, str, str, str]:
    """Return a line for something that was fired."""
    late = "" if fire.published_at is None else f"{max(0.0, fire.published_at - fire.due):.1f} s"
    return clock(fire.due), f"{fire.state}{', by hand' if fire.manual else ''}", late, fire.job_id


def document(stored: Stored, last: Fire | None) -> dict[str, Any]:
    """Return a schedule as JSON has it."""
    spec, order = stored.schedule.spec, stored.schedule.order
    return {
        "name": stored.name,
        "state": state(stored),
        "origin": stored.origin.value,
        "rule": msgspec.to_builtins(spec.rule),
        "misfire": spec.misfire.value,
        "grace": spec.grace,
        "overlap": spec.overlap.value,
        "jitter": spec.jitter,
        "start": iso(spec.start),
        "end": iso(spec.end),
        "job": order,
        "next": iso(stored.next_due),
        "last": None if last is None else fire_document(last),
    }


def fire_document(fire: Fire) -> dict[str, Any]:
    """Return something that was fired as JSON has it."""
    return {
        "id": fire.job_id,
        "due": iso(fire.due),
        "state": fire.state.value,
        "manual": fire.manual,
        "published": iso(fire.published_at),
        "ended": None if fire.state in (FireState.CLAIMED, FireState.PUBLISHED) else iso(fire.ended_at),
    }


def overdue(schedules: Sequence[Stored], now: float) -> str:
    """Return what is to be said when nobody fires."""
    late = [stored.name for stored in schedules if (stored.wake_at or now) < now - OVERDUE_SECONDS]
    if not late:
        return ""
    return f"warning: schedule {late[0]!r} was due some time ago and has not fired: no `warren scheduler` seems to run on this store"


def _options(order: Order) -> Iterator[str]:
    for name in ("priority", "expires", "deadline"):
        value = getattr(order, name)
        if value is not None:
            yield f"{name} {value:g}"
    if not order.wants_result:
        yield "no result"
