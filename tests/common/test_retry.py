"""Retry decides by tenacity's strategies and never waits."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from warren.delay import MAX_DELAY_SECONDS
from warren.errors import InvalidTask
from warren.retry import Retry, crash_delay

ERROR = ValueError("no")
numbers = st.floats(0, 1000)


def decide(policy: Retry, failures: int = 1, error: BaseException = ERROR, elapsed: float = 0.0) -> float | None:
    return policy.decide(failures, error, elapsed)


# --- how often -------------------------------------------------------------------------------------------------------


@given(attempts=st.integers(1, 50), failures=st.integers(1, 60))
def test_a_job_is_retried_exactly_until_its_attempts_are_used_up(attempts: int, failures: int) -> None:
    assert (decide(Retry(attempts=attempts), failures) is None) == (failures >= attempts)


def test_by_default_there_are_five_attempts() -> None:
    assert [decide(Retry(), failures) is not None for failures in range(1, 6)] == [True] * 4 + [False]


def test_one_attempt_means_never_again() -> None:
    assert decide(Retry(attempts=1)) is None


def test_a_permanent_exception_is_not_retried() -> None:
    policy = Retry(permanent=(LookupError, TypeError))
    assert decide(policy, error=KeyError("a")) is None
    assert decide(policy, error=TypeError()) is None
    assert decide(policy, error=ERROR) is not None


def test_a_tenacity_retry_strategy_says_what_is_transient() -> None:
    policy = Retry(retry=tenacity.retry_if_exception_type(OSError))
    assert decide(policy, error=ConnectionError()) is not None
    assert decide(policy, error=ERROR) is None


def test_a_retry_strategy_sees_the_message() -> None:
    policy = Retry(retry=tenacity.retry_if_exception_message(match="busy"))
    assert decide(policy, error=RuntimeError("busy now")) is not None
    assert decide(policy, error=RuntimeError("broken")) is None


def test_permanent_beats_a_retry_strategy() -> None:
    assert decide(Retry(retry=tenacity.retry_always, permanent=(ValueError,))) is None


def test_exceptions_that_are_no_errors_can_be_permanent_too() -> None:
    assert decide(Retry(permanent=(SystemExit,)), error=SystemExit(1)) is None
    assert decide(Retry(), error=SystemExit(1)) is not None


# --- until when ------------------------------------------------------------------------------------------------------


@given(stop=st.floats(1, 1000), elapsed=st.floats(0, 2000))
def test_a_number_stops_after_so_many_seconds(stop: float, elapsed: float) -> None:
    gives_up = decide(Retry(stop=stop), elapsed=elapsed) is None
    assert gives_up or elapsed < stop + 1e-3
    assert not gives_up or elapsed > stop - 1e-3


def test_a_tenacity_stop_strategy_is_asked() -> None:
    policy = Retry(attempts=100, stop=tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(60))
    assert decide(policy, 2, elapsed=10) is not None
    assert decide(policy, 3, elapsed=10) is None
    assert decide(policy, 2, elapsed=61) is None


def test_attempts_bound_a_stop_strategy_that_never_stops() -> None:
    assert decide(Retry(attempts=2, stop=tenacity.stop_never), 2) is None


# --- how long --------------------------------------------------------------------------------------------------------


@given(failures=st.integers(1, 2000))
def test_the_default_wait_is_between_one_second_and_five_minutes(failures: int) -> None:
    wait = decide(Retry(attempts=10_000), failures)
    assert wait is not None
    assert 1 <= wait <= max(1.0, min(300.0, 2.0 ** min(failures, 20)))


def test_the_default_wait_grows() -> None:
    def mean(failures: int) -> float:
        return sum(decide(Retry(), failures) or 0 for _ in range(200)) / 200

    random.seed(1)
    assert mean(1) < mean(2) < mean(3) < mean(4)


@given(low=numbers, more=numbers, failures=st.integers(1, 40))
def test_a_wait_strategy_keeps_its_bounds(low: float, more: float, failures: int) -> None:
    policy = Retry(attempts=100, wait=tenacity.wait_random(low, low + more))
    wait = decide(policy, failures)
    assert wait is not None
    assert low - 1e-6 <= wait <= low + more + 1e-6


@given(seconds=numbers, failures=st.integers(1, 40))
def test_a_number_waits_always_the_same(seconds: float, failures: int) -> None:
    assert decide(Retry(attempts=100, wait=seconds), failures) == seconds


def test_a_chain_of_waits_is_followed_by_failures() -> None:
    policy = Retry(wait=tenacity.wait_chain(*(tenacity.wait_fixed(n) for n in (1, 7, 30))))
    assert [decide(policy, failures) for failures in (1, 2, 3, 4)] == [1, 7, 30, 30]


def test_a_wait_of_nothing_is_allowed() -> None:
    assert decide(Retry(wait=0)) == 0


def test_a_strategy_cannot_wait_longer_than_the_broker_can() -> None:
    assert decide(Retry(wait=1e12)) == MAX_DELAY_SECONDS


def test_deciding_does_not_wait() -> None:
    before = datetime.now(UTC)
    assert decide(Retry(wait=3600)) == 3600
    assert (datetime.now(UTC) - before).total_seconds() < 60


# --- what cannot be meant --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [0, -1])
def test_fewer_than_one_attempt_is_refused(attempts: int) -> None:
    with pytest.raises(InvalidTask, match="take 1 to never retry"):
        Retry(attempts=attempts)


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(InvalidTask, match="cannot wait less than 0"):
        Retry(wait=-1)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"wait": timedelta(seconds=5)}, "wait=datetime.timedelta(seconds=5): take seconds or a tenacity strategy"),
        ({"wait": "5"}, "wait='5': take seconds or"),
        ({"stop": "5"}, "stop='5': take seconds or"),
        ({"retry": 5}, "retry=5: take a tenacity strategy"),
    ],
    ids=repr,
)
def test_what_is_no_strategy_is_refused_where_it_is_declared(policy: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidTask) as refused:
        Retry(**policy)
    assert told in str(refused.value)


# --- crashes ---------------------------------------------------------------------------------------------------------


@given(crashes=st.integers(1, 10_000), seed=st.integers())
def test_after_a_crash_the_wait_grows_to_a_minute(crashes: int, seed: int) -> None:
    top = min(60.0, 2.0 ** min(crashes - 1, 10))
    assert top / 2 <= crash_delay(crashes, random.Random(seed)) <= top
