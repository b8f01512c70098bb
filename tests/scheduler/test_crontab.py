"""Crontab lines mean what everybody means by them."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from warren.errors import InvalidSchedule
from warren.schedule import Cron, Spec
from warren.scheduler.crontab import lines_of, weekdays
from warren.scheduler.triggers import check, upcoming


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("*", "*"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("mon-fri", "mon,tue,wed,thu,fri"),
        ("fri-mon", "sun,mon,fri,sat"),
        ("5-7", "sun,fri,sat"),
        ("*/2", "sun,tue,thu,sat"),
        ("1-5/2", "mon,wed,fri"),
        ("1,SAT", "mon,sat"),
    ],
)
def test_weekdays_count_from_sunday(field: str, days: str) -> None:
    assert weekdays(field) == days


def test_a_date_and_a_weekday_are_either() -> None:
    assert lines_of("0 9 13 * 5") == ("0 9 13 * *", "0 9 * * fri")
    begin = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    days = [datetime.fromtimestamp(due, UTC).day for due in islice(upcoming(Spec(Cron("0 9 14 * 5")), begin), 5)]
    assert days == [6, 13, 14, 20, 27], "every Friday, and the 14th, which is a Saturday"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("61 * * * *", "61"),
        ("* * * * 8", "no weekday"),
        ("* * * * mon-", "no weekdays"),
        ("* * * * */0", "no weekdays"),
        ("a * * * *", "Unrecognized expression"),
    ],
)
def test_a_line_that_is_none_is_told(line: str, said: str) -> None:
    with pytest.raises(InvalidSchedule, match=said):
        check(Spec(Cron(line)))


def test_an_unknown_time_zone_is_told() -> None:
    with pytest.raises(InvalidSchedule, match="no time zone 'Europe/Pari' here"):
        check(Spec(Cron("* * * * *", "Europe/Pari")))
