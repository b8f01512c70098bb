"""Options are complete and possible, or the error says which one is not and what it can be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.errors import InvalidTask
from warren.options import Options, in_seconds, merged
from warren.retry import Retry

NOW = 1_700_000_000.0


def refusal(**changes: Any) -> str:
    with pytest.raises(InvalidTask) as refused:
        merged(Options(), changes, "m:f")
    assert str(refused.value).startswith("task 'm:f'")
    return str(refused.value)


def test_the_defaults_are_what_the_documentation_says() -> None:
    options = Options()
    assert (options.queue, options.retry, options.max_crashes, options.result) == ("default", Retry(), 3, True)
    assert {options.timeout, options.kill_after, options.expires, options.priority, options.delay} == {None}
    assert options.delay_seconds(NOW) == 0


def test_changes_leave_the_rest_as_it_is() -> None:
    base = merged(Options(), {"queue": "images", "priority": 3}, "m:f")
    changed = merged(base, {"priority": 9}, "m:f")
    assert (base.priority, changed.priority, changed.queue) == (3, 9, "images")


@pytest.mark.parametrize("given", [90, 90.0, timedelta(seconds=90)])
def test_a_duration_is_seconds_or_a_timedelta(given: float | timedelta) -> None:
    assert in_seconds(given) == 90
    assert merged(Options(), {"timeout": given, "kill_after": given, "expires": given, "delay": given}, "m:f")


@given(st.floats(-1e6, 1e6))
def test_a_moment_is_waited_for_and_a_past_one_is_not(offset: float) -> None:
    at = datetime.fromtimestamp(NOW + offset, UTC)
    waits = merged(Options(), {"at": at}, "m:f").delay_seconds(NOW)
    assert waits == pytest.approx(max(0.0, offset), abs=1e-3)


def test_a_moment_may_be_in_any_time_zone() -> None:
    zone = datetime.fromtimestamp(NOW + 60, UTC).astimezone()
    assert merged(Options(), {"at": zone}, "m:f").delay_seconds(NOW) == 60


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"retries": 3}, "has no option 'retries'; did you mean 'retry'?"),
        ({"colour": 3}, "has no option 'colour'; there are: name, queue, retry"),
        ({"queue": "a b"}, "queue 'a b' is not a usable name: take 1 to 100 letters"),
        ({"queue": ""}, "queue '' is not a usable name"),
        ({"retry": 3}, "retry=3 is no policy; take Retry(attempts=...)"),
        ({"retry": None}, "retry=None is no policy"),
        ({"max_crashes": 0}, "max_crashes=0: take at least 1"),
        ({"priority": 10}, "priority=10 is not between 0 and 9"),
        ({"priority": -1}, "priority=-1 is not between 0 and 9"),
        ({"timeout": 0}, "timeout=0: take a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"kill_after": -1}, "kill_after=-1"),
        ({"expires": float("inf")}, "expires=inf"),
        ({"expires": 1e17}, "expires=1e+17: take a number of seconds above 0, and not more than 100 years"),
        ({"deadline": timedelta(days=40_000)}, "deadline=3456000000.0"),
        ({"expires": timedelta(0)}, "expires=0.0"),
        ({"delay": -0.1}, "delay=-0.1: take a number of seconds, 0 or more"),
        ({"delay": float("nan")}, "delay=nan"),
        ({"at": datetime(2030, 1, 1)}, "at=2030-01-01T00:00:00 has no time zone; say which one is meant"),  # noqa: DTZ001
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "both delay and at are given; take one"),
        ({"queue": 5}, "queue=5"),
        ({"name": 5}, "name=5"),
        ({"max_crashes": "3"}, "max_crashes='3'"),
        ({"max_crashes": 1.5}, "max_crashes=1.5"),
        ({"priority": "high"}, "priority='high'"),
        ({"priority": True}, "priority=True"),
        ({"timeout": "30"}, "timeout='30'"),
        ({"timeout": True}, "timeout=True"),
        ({"delay": "1m"}, "delay='1m'"),
        ({"at": "2030-01-01"}, "at='2030-01-01'"),
        ({"at": 1_700_000_000}, "at=1700000000"),
        ({"result": "no"}, "result='no'"),
    ],
    ids=repr,
)
def test_an_impossible_option_is_named_with_what_it_can_be(changes: dict[str, Any], told: str) -> None:
    assert told in refusal(**changes)
