"""When a rule is due: a thin layer over APScheduler's trigger classes, which know calendars, time zones and daylight saving.

Moments are seconds since the epoch, to the millisecond.
"""

import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from warren.errors import InvalidSchedule
from warren.schedule import Cron, Interval, Once, Rule, Spec, told
from warren.scheduler.crontab import lines_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=500)
"""Triggers say what is due at a moment or after it; this makes it after, as due times are whole milliseconds."""
_KEPT = 1024


def next_due(spec: Spec, after: float) -> float | None:
    """Return the first due time after a moment; None when none is left.

    Raises:
        InvalidSchedule: see `check`.
    """
    if spec.start is not None:
        after = max(after, spec.start - 0.001)
    triggers = _triggers(spec.rule, spec.start)
    due = _first(triggers, after)
    if due is not None and due <= after:  # an interval's true moment, half a millisecond later, is rounded down to it
        due = _first(triggers, after + 0.001)
    if due is None or due <= after or (spec.end is not None and due > spec.end):
        return None
    return due


def _first(triggers: tuple[BaseTrigger, ...], after: float) -> float | None:
    moment = datetime.fromtimestamp(after, UTC) + _MOMENT
    try:
        found: list[datetime | None] = [trigger.get_next_fire_time(None, moment) for trigger in triggers]
    except OverflowError:  # beyond the year 9999
        return None
    return min((round(each.timestamp(), 3) for each in found if each is not None), default=None)


def upcoming(spec: Spec, after: float) -> Iterator[float]:
    """Return all due times after a moment, in order, lazily."""
    due = next_due(spec, after)
    while due is not None:
        yield due
        due = next_due(spec, due)


def latest_due(spec: Spec, after: float, until: float) -> float | None:
    """Return the last due time after a moment and not after another; None when there is none between them.

    Triggers only look ahead; so it looks from further and further back until it sees one.
    """
    span = 1.0
    while True:
        begin = max(after, until - span)
        latest = None
        for due in upcoming(spec, begin):
            if due > until:
                break
            latest = due
        if latest is not None or begin <= after:
            return latest
        span *= 4


def check(spec: Spec) -> None:
    """Refuse a rule that APScheduler does not take, or an unknown time zone.

    Raises:
        InvalidSchedule: saying what is wrong.
    """
    _triggers(spec.rule, spec.start)


def zone(name: str) -> tzinfo:
    """Return a time zone by its name.

    Raises:
        InvalidSchedule: there is none of that name here.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise InvalidSchedule(
            f"there is no time zone {name!r} here: take a name as 'Europe/Paris'; if it is right, install tzdata"
        ) from error


@functools.lru_cache(maxsize=_KEPT)
def _triggers(rule: Rule, start: float | None) -> tuple[BaseTrigger, ...]:
    where = zone(rule.tz)
    try:
        match rule:
            case Cron(line=line):
                return tuple(CronTrigger.from_crontab(each, timezone=where) for each in lines_of(line))
            case Interval(seconds=seconds):
                begin = _EPOCH if start is None else datetime.fromtimestamp(start, UTC)
                return (IntervalTrigger(seconds=seconds, start_date=begin, timezone=UTC),)
            case Once(at=at):
                return (DateTrigger(datetime.fromtimestamp(at, UTC), timezone=UTC),)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidSchedule(f"{told(Spec(rule))}: {error}") from error
