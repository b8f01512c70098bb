"""Workers put together from what they said."""

from hypothesis import given
from hypothesis import strategies as st
from tests.console.fleets import NOW, a_status

from warren.console.fleet import Fleet, Member
from warren.status import WorkerState, WorkerStatus


def members(*statuses: WorkerStatus, now: float = NOW, keep: float = 60.0) -> list[Member]:
    fleet = Fleet(keep)
    for status in statuses:
        fleet.hear(status)
    return fleet.members(now)


def test_the_last_that_a_worker_said_holds() -> None:
    (found,) = members(a_status(at=NOW - 10, done=3), a_status(at=NOW - 5, done=5))
    assert found.status.count("done") == 5
    assert found.age == 5
    assert found.works
    assert not found.silent


@given(st.permutations([a_status(at=NOW - 20 + 5 * n, done=n) for n in range(5)]))
def test_the_order_in_which_statuses_come_does_not_matter_for_what_holds(statuses: list[WorkerStatus]) -> None:
    (found,) = members(*statuses)
    assert found.status.at == NOW


def test_a_worker_that_misses_two_statuses_and_a_half_is_silent() -> None:
    assert not members(a_status(at=NOW - 12.4))[0].silent
    (found,) = members(a_status(at=NOW - 12.6))
    assert found.silent
    assert not found.works


def test_a_worker_that_stopped_need_not_say_anything() -> None:
    (found,) = members(a_status(at=NOW - 30, state=WorkerState.STOPPED))
    assert not found.silent
    assert not found.works


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    said = [a_status(at=NOW - 60 + 5 * n, done=0 if n < 6 else 10 * (n - 6)) for n in range(13)]
    (found,) = members(*said)
    assert found.rate == 60 / 30
    assert members(a_status())[0].rate is None


def test_what_was_said_too_long_ago_is_forgotten() -> None:
    assert members(a_status(at=NOW - 61)) == []


def test_a_worker_that_came_back_under_its_name_is_one_and_two_that_work_are_two() -> None:
    before = a_status(at=NOW - 20, pid=1, started_at=NOW - 500)
    after = a_status(at=NOW, pid=2, started_at=NOW - 15)
    assert [member.status.pid for member in members(before, after)] == [2]
    both = members(a_status(pid=1, started_at=NOW - 500), a_status(pid=2, started_at=NOW - 15))
    assert [member.status.pid for member in both] == [1, 2]


def test_a_worker_whose_clock_is_ahead_of_ours_has_said_it_just_now() -> None:
    (found,) = members(a_status(at=NOW + 3))
    assert found.age == 0


def test_workers_come_by_name() -> None:
    assert [member.status.name for member in members(a_status("b"), a_status("c"), a_status("a"))] == ["a", "b", "c"]
