"""A pool grows quickly with the work that waits, and shrinks slowly when there is none."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from warren.worker.scaling import IDLE_SECONDS, Situation, wanted

BUSY = Situation(size=2, settled=True, full=True, ready=100, idle=0.0, unchanged=60.0)
situations = st.builds(
    Situation,
    size=st.integers(1, 100),
    settled=st.booleans(),
    full=st.booleans(),
    ready=st.integers(0, 10_000),
    idle=st.floats(0, 100),
    unchanged=st.floats(0, 100),
)
bounds = st.tuples(st.integers(1, 50), st.integers(0, 50)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def but(situation: Situation, **changes: object) -> Situation:
    return dataclasses.replace(situation, **changes)  # type: ignore[arg-type]


def test_it_doubles_while_jobs_wait() -> None:
    sizes = [2]
    while sizes[-1] < 16:
        sizes.append(wanted(but(BUSY, size=sizes[-1]), 2, 16))
    assert sizes == [2, 4, 8, 16]


def test_no_more_are_started_than_jobs_wait() -> None:
    assert wanted(but(BUSY, size=8, ready=1), 2, 16) == 9


def test_nothing_is_decided_before_the_last_ones_have_started() -> None:
    assert wanted(but(BUSY, settled=False), 2, 16) == 2


def test_a_process_with_room_is_used_before_another_is_started() -> None:
    assert wanted(but(BUSY, full=False), 2, 16) == 2


def test_one_at_a_time_goes_and_each_after_a_while() -> None:
    idle = but(BUSY, size=8, full=False, ready=0, idle=IDLE_SECONDS)
    assert wanted(idle, 2, 16) == 7
    assert wanted(but(idle, unchanged=IDLE_SECONDS - 1), 2, 16) == 8
    assert wanted(but(idle, idle=IDLE_SECONDS - 1), 2, 16) == 8


@given(situations, bounds)
def test_it_stays_within_its_bounds(situation: Situation, bounds: tuple[int, int]) -> None:
    least, most = bounds
    assert least <= wanted(situation, least, most) <= most


@given(situations, bounds)
def test_it_never_grows_without_work_and_never_shrinks_with_it(situation: Situation, bounds: tuple[int, int]) -> None:
    least, most = bounds
    within = but(situation, size=min(max(situation.size, least), most))
    if not (within.full and within.ready):
        assert wanted(within, least, most) <= within.size
    if within.full and within.idle == 0:
        assert wanted(within, least, most) >= within.size


@given(situations, bounds)
def test_it_grows_by_no_more_than_it_has_and_than_waits(situation: Situation, bounds: tuple[int, int]) -> None:
    least, most = bounds
    within = but(situation, size=min(max(situation.size, least), most))
    more = wanted(within, least, most) - within.size
    assert -1 <= more <= min(within.size, within.ready)
