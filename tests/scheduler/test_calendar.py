"""What docs/how-to/schedules.md says of days when the clocks change, of clocks that are set, and of a week asleep."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.docs import tables
from tests.docs.documents import ROOT

from warren.schedule import Cron, Interval, Misfire, Rule, Spec
from warren.scheduler.due import decide
from warren.scheduler.triggers import upcoming

PAGE = ROOT / "docs/how-to/schedules.md"
CHANGES = [
    ("Europe/Paris", date(2026, 3, 29), "30 2 * * *"),
    ("Europe/Paris", date(2026, 10, 25), "30 2 * * *"),
    ("America/New_York", date(2026, 3, 8), "30 2 * * *"),
    ("America/New_York", date(2026, 11, 1), "30 1 * * *"),
    ("Australia/Lord_Howe", date(2026, 10, 4), "15 2 * * *"),
    ("Australia/Lord_Howe", date(2026, 4, 5), "45 1 * * *"),
]
"""Zone, day, and a crontab line in the time that is left out, or comes twice."""


def midnight(zone: str, day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp()


def on_day(rule: Rule, zone: str, day: date, start: float | None = None) -> list[datetime]:
    """When it is due on a day of that zone, as its clocks show it."""
    begin, end = midnight(zone, day), midnight(zone, day + timedelta(days=1))
    found: list[datetime] = []
    for due in upcoming(Spec(rule, start=start), begin - 0.001):
        if due >= end:
            return found
        found.append(datetime.fromtimestamp(due, ZoneInfo(zone)))
    return found


def shown(moments: list[datetime]) -> str:
    return ", ".join(f"{moment:%H:%M %Z}" for moment in moments)


def of_changes() -> Iterator[list[str]]:
    for zone, day, line in CHANGES:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)) - timedelta(days=1)
        hours = (midnight(zone, day + timedelta(days=1)) - midnight(zone, day)) / 3600
        yield [
            f"{zone}, {day}: {hours:g} hours",
            f"`{line}`: {shown(on_day(Cron(line, zone), zone, day))}",
            shown(on_day(Cron("0 12 * * *", zone), zone, day)),
            str(len(on_day(Cron("0 * * * *", zone), zone, day))),
            str(len(on_day(Interval(3600.0), zone, day))),
            shown(on_day(Interval(86_400.0), zone, day, noon.timestamp())),
        ]


# --- clocks that are set, and long sleeps ----------------------------------------------------------------------------

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
HOURLY, EVERY_MINUTE = Cron("0 * * * *"), Cron("* * * * *")


def fired(spec: Spec, clock: list[float]) -> list[float]:
    """What is fired by somebody who looks at these moments; the first is when the schedule is made."""
    last, found = clock[0], list[float]()
    for now in clock[1:]:
        while True:
            decision = decide("it", spec, last, now)
            found += decision.fires
            if decision.last_due == last or not decision.fires:
                last = decision.last_due
                break
            last = decision.last_due
    return found


def minutes(begin: float, end: float) -> list[float]:
    return [begin + 60.0 * number for number in range(int((end - begin) // 60) + 1)]


def of_clocks() -> Iterator[list[str]]:
    half_past, hour, week = NOON + 1800, 3600.0, 7 * 86_400.0
    until_noon = minutes(NOON - hour + 60, half_past)
    back = [*until_noon, *minutes(half_past - hour, half_past + hour)]
    yield ["`0 * * * *`; the clock is set back from 12:30 to 11:30", *_by_policy(HOURLY, back)]
    ahead = [*until_noon, *minutes(half_past + 3 * hour, half_past + 4 * hour)]
    yield ["`0 * * * *`; the clock is set ahead from 12:30 to 15:30", *_by_policy(HOURLY, ahead)]
    yield ["`0 * * * *`; a week asleep, until 12:30", *_by_policy(HOURLY, [half_past - week, half_past])]
    yield ["`* * * * *`; a week asleep", *_by_policy(EVERY_MINUTE, [NOON - week, NOON + 30])]


def _by_policy(rule: Rule, clock: list[float]) -> list[str]:
    return [_counted(fired(Spec(rule, misfire), clock)) for misfire in Misfire]


def _counted(fires: list[float]) -> str:
    assert fires == sorted(set(fires))
    if len(fires) <= 5:
        return ", ".join(f"{datetime.fromtimestamp(due, UTC):%H:%M}" for due in fires) or "none"
    last = datetime.fromtimestamp(fires[-1], UTC)
    return f"{len(fires):,}, up to {last:%H:%M}"


@pytest.mark.parametrize(("name", "rows"), [("changes", of_changes), ("clocks", of_clocks)])
def test_the_tables_of_the_page_are_what_happens(name: str, rows: object) -> None:
    assert callable(rows)
    written = tables.as_markdown(list(rows()))
    assert tables.lines_between(PAGE, name) == written.splitlines(), f"write this:\n{written}"
