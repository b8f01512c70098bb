"""Which jobs are cancelled: whatever the order in which that is heard, however often, and within bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from warren.job import Body, Job
from warren.outcome import Cancelled, Crashed, Done, Expired, Failed, Failure, Outcome, Rejected, Retry
from warren.worker.blame import CANCELLED
from warren.worker.tombstones import Tombstone, Tombstones

deterministic = settings(deadline=None, derandomize=True, database=None)
FAILURE = Failure("ValueError", "no")
JOB = Job("a", Body("m:f"), "q", enqueued_at=100.0, ready_at=100.0, first_ready_at=100.0)
STONE = Tombstone(200.0, "enough")

ids = st.sampled_from(["a", "b", "c"])
stones = st.builds(Tombstone, st.floats(0, 1000), st.just("why"))
said = st.lists(st.tuples(st.sampled_from(["job", "task"]), ids, stones), max_size=12)


def heard(what: list[tuple[str, str, Tombstone]]) -> Tombstones:
    found = Tombstones()
    for kind, name, stone in what:
        if kind == "job":
            found.add_jobs([name], stone)
        else:
            found.add_task(name, stone)
    return found


@deterministic
@given(said, st.randoms(), ids, ids, st.floats(0, 1000))
def test_what_is_cancelled_depends_neither_on_the_order_nor_on_repetitions(
    what: list[tuple[str, str, Tombstone]], shuffled: object, job_id: str, task: str, enqueued: float
) -> None:
    job = replace(JOB, id=job_id, body=Body(task), enqueued_at=enqueued)
    again = [*what, *what]
    shuffled.shuffle(again)  # type: ignore[attr-defined]
    assert heard(what).of(job) == heard(again).of(job)


@deterministic
@given(said, ids, ids, st.floats(0, 1000))
def test_a_job_is_cancelled_by_its_id_or_by_its_task_if_it_was_enqueued_before(
    what: list[tuple[str, str, Tombstone]], job_id: str, task: str, enqueued: float
) -> None:
    job = replace(JOB, id=job_id, body=Body(task), enqueued_at=enqueued)
    by_id = any(kind == "job" and name == job_id for kind, name, _ in what)
    by_task = any(kind == "task" and name == task and stone.at >= enqueued for kind, name, stone in what)
    assert (heard(what).of(job) is not None) == (by_id or by_task)


def test_a_dead_letter_replayed_after_it_was_cancelled_is_wanted_again() -> None:
    found = Tombstones()
    found.add_jobs(["a"], STONE)
    replayed = replace(JOB, replays=1, first_ready_at=201.0)
    assert found.of(replayed) is None
    assert found.of(replace(replayed, first_ready_at=199.0)) == STONE
    found.add_jobs(["a"], Tombstone(202.0, "again"))
    assert found.of(replayed) == Tombstone(202.0, "again")


def test_a_delayed_job_is_cancelled_although_it_is_ready_only_later() -> None:
    found = Tombstones()
    found.add_jobs(["a"], STONE)
    assert found.of(replace(JOB, ready_at=9000.0, first_ready_at=9000.0)) == STONE


def test_the_newest_are_remembered_when_there_are_too_many() -> None:
    found = Tombstones(most_jobs=3, most_tasks=1)
    for number in range(5):
        found.add_jobs([str(number)], STONE)
        found.add_told([str(number)])
        found.add_task(f"t{number}", STONE)
    assert [number for number in range(5) if found.of(replace(JOB, id=str(number)))] == [2, 3, 4]
    assert [number for number in range(5) if found.is_told(replace(JOB, id=str(number)))] == [2, 3, 4]
    assert [number for number in range(5) if found.of(replace(JOB, body=Body(f"t{number}")))] == [4]


def test_most_workers_have_none_and_need_not_look() -> None:
    found = Tombstones()
    assert not found.any
    found.add_told(["a"])
    assert not found.any
    found.add_jobs(["a"], STONE)
    assert found.any


@pytest.mark.parametrize(
    ("outcome", "becomes"),
    [
        (Done(b"1"), Done(b"1")),
        (Rejected("invalid_arguments", "no"), Rejected("invalid_arguments", "no")),
        (Expired(), Expired()),
        (Cancelled("it was cancelled while it ran"), Cancelled("enough")),
        (Crashed(9, None, killed_for=CANCELLED), Cancelled("enough")),
        (Retry(1.0, FAILURE), Cancelled("enough; it had failed: ValueError: no")),
        (Failed(FAILURE), Cancelled("enough; it had failed: ValueError: no")),
        (Crashed(None, 7), Cancelled("enough; it had crashed: its process was ended by exit code 7")),
    ],
)
def test_a_cancelled_job_is_not_tried_again_whatever_its_attempt_came_to(outcome: Outcome, becomes: Outcome) -> None:
    found = Tombstones()
    found.add_jobs(["a"], STONE)
    assert found.outcome_of(JOB, outcome) == becomes


@pytest.mark.parametrize("outcome", [Done(b"1"), Retry(1.0, FAILURE), Failed(FAILURE), Crashed(9, None)])
def test_other_jobs_come_to_what_they_come_to(outcome: Outcome) -> None:
    found = Tombstones()
    assert found.outcome_of(JOB, outcome) is outcome
    found.add_jobs(["another"], STONE)
    assert found.outcome_of(JOB, outcome) is outcome


def test_a_process_killed_for_a_cancelled_job_is_no_crash_even_if_the_tombstone_is_forgotten() -> None:
    assert Tombstones().outcome_of(JOB, Crashed(9, None, killed_for=CANCELLED)) == Cancelled(CANCELLED)
