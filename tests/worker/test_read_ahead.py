"""How many jobs may wait in a worker: none of long ones, more of short ones, never more than the bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.worker.read_ahead import HORIZON_SECONDS, ReadAhead


def after(seconds: list[float], *, processes: int = 2, most: int = 32) -> ReadAhead:
    ahead = ReadAhead(processes, most)
    for each in seconds:
        ahead.took(each)
    return ahead


def test_nothing_waits_before_anything_is_known() -> None:
    assert ReadAhead(8, 32).jobs == 0


def test_no_op_jobs_may_wait_up_to_the_bound() -> None:
    assert after([0.0001]).jobs == 32


@pytest.mark.parametrize("most", [2, 32, 192])
def test_jobs_as_long_as_the_horizon_may_wait_one_for_each_process(most: int) -> None:
    assert after([HORIZON_SECONDS], most=most).jobs == 2


def test_long_jobs_leave_nothing_waiting() -> None:
    assert after([0.2], processes=4).jobs == 0


def test_zero_turns_it_off() -> None:
    assert after([0.0001] * 100, most=0).jobs == 0


def test_a_wrong_expectation_ends_the_waiting_and_short_jobs_bring_it_back() -> None:
    ahead = after([0.0001] * 50)
    ahead.wrong()
    assert ahead.jobs == 0
    for _ in range(50):
        ahead.took(0.0001)
    assert ahead.jobs == 0
    for _ in range(150):
        ahead.took(0.0001)
    assert ahead.jobs == 32


@given(st.lists(st.floats(0, 3600), min_size=1, max_size=50), st.integers(1, 64), st.integers(0, 64))
def test_what_may_wait_is_bounded_and_expected_to_start_within_the_horizon(
    seconds: list[float], processes: int, most: int
) -> None:
    jobs = after(seconds, processes=processes, most=most).jobs
    assert 0 <= jobs <= most
    assert jobs * min(seconds) <= (processes + 1) * HORIZON_SECONDS * 1.000001
    if max(seconds) < 1e-6:
        assert jobs == most


def test_a_larger_pool_is_waited_for_by_more_at_once() -> None:
    ahead = after([HORIZON_SECONDS])
    ahead.resize(4)
    assert (ahead.limit, ahead.each) == (8, 2)


def test_coroutine_jobs_are_taken_for_the_processes_that_can_run_them_and_for_one_at_least() -> None:
    ahead = ReadAhead(4, 0)
    ahead.coroutines = 10
    limits = []
    for ahead.usable in (4, 1, 0, 3):
        limits.append(ahead.limit)
    assert limits == [40, 10, 10, 30]


@given(running=st.integers(0, 60), usable=st.integers(0, 6))
def test_no_fewer_plain_jobs_are_taken_because_processes_of_coroutine_jobs_are_gone(running: int, usable: int) -> None:
    ahead = ReadAhead(4, 0)
    ahead.coroutines, ahead.mixed, ahead.usable = 10, True, usable
    ahead.entered(running)
    assert ahead.limit >= 4 + running


def test_another_size_is_no_reason_to_expect_anything() -> None:
    ahead = ReadAhead(2, 32)
    ahead.resize(4)
    assert (ahead.limit, ahead.each) == (4, 1)
