"""Schedules in the store: made, changed by the code that declares them, claimed by whoever looks first; on both databases."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from warren.errors import InvalidSchedule, UnknownSchedule
from warren.events_schedules import ScheduleDelayed, ScheduleGivenUp, ScheduleMissed, ScheduleSkipped
from warren.schedule import Cron, Interval, Misfire, Order, Overlap, Schedule, Spec
from warren.scheduler.looking import look
from warren.scheduler.schedules import Schedules, Synced, job_id
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import FireState, Origin

BEGIN = 1_790_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedules(database: Database, clock: Clock) -> Schedules:
    return Schedules(database, clock)


def schedule(name: str = "tick", seconds: float = 10, *, task: str = "m:f", **spec: object) -> Schedule:
    return Schedule(name, Spec(Interval(seconds), **spec), Order(task))  # type: ignore[arg-type]


def states(schedules: Schedules, name: str = "tick") -> list[FireState]:
    return [fire.state for fire in reversed(schedules.fired(name, 100))]


def ended(database: Database, identity: str, state: FireState = FireState.DONE) -> None:
    with database.write() as connection:
        store.end(connection, identity, state, BEGIN)


# --- what is declared ------------------------------------------------------------------------------------------------


def test_what_is_declared_appears_changes_and_retires(schedules: Schedules, clock: Clock) -> None:
    assert schedules.sync([schedule("a"), schedule("b")]) == Synced(("a", "b"), (), ())
    assert schedules.sync([schedule("a"), schedule("b")]) == Synced((), (), ())
    clock.now += 25
    assert schedules.sync([schedule("a", 60), schedule("c")]) == Synced(("c",), ("a",), ("b",))
    assert schedules.get("a").last_due == clock.now, "what the new rule would have had due before does not count"
    retired = schedules.get("b")
    assert (retired.retired, retired.wake_at) == (True, None)
    clock.now += 100
    assert schedules.sync([schedule("a", 60), schedule("b"), schedule("c")]) == Synced(("b",), (), ())
    assert schedules.get("b").last_due == clock.now


def test_other_arguments_lose_no_due_time(schedules: Schedules, clock: Clock) -> None:
    schedules.sync([schedule()])
    clock.now += 25
    assert schedules.sync([schedule(task="m:g")]).changed == ("tick",)
    found = schedules.get("tick")
    assert (found.last_due, found.next_due, found.schedule.order.task) == (BEGIN, BEGIN + 10, "m:g")


def test_a_pause_survives_a_new_version_of_the_code(schedules: Schedules) -> None:
    schedules.sync([schedule()])
    assert schedules.pause("tick")
    assert not schedules.pause("tick")
    schedules.sync([schedule(seconds=30)])
    assert schedules.get("tick").paused
    schedules.sync([msgspec.structs.replace(schedule(seconds=30), paused=True)])
    schedules.sync([schedule(seconds=30)])
    assert not schedules.get("tick").paused, "the declaration says something else than before"


def test_a_name_of_run_time_is_not_taken_over_by_code(schedules: Schedules) -> None:
    schedules.add(schedule())
    with pytest.raises(InvalidSchedule, match="has the name of one that was made at run time"):
        schedules.sync([schedule("other"), schedule()])
    assert [stored.name for stored, _ in schedules.list()] == ["tick"], "nothing was changed"


def test_several_schedulers_start_at_once(database: Database, clock: Clock) -> None:
    declared = [schedule(f"s{number}") for number in range(10)]
    ready = threading.Barrier(4)

    def start(_: int) -> Synced:
        ready.wait()
        return Schedules(database, clock).sync(declared)

    with ThreadPoolExecutor(4) as pool:
        synced = list(pool.map(start, range(4)))
    assert sorted(len(each.added) for each in synced) == [0, 0, 0, 10]


# --- what is made at run time ----------------------------------------------------------------------------------------


def test_what_is_made_at_run_time_is_removed_there(schedules: Schedules) -> None:
    schedules.add(schedule())
    with pytest.raises(InvalidSchedule, match="there is a schedule 'tick' already"):
        schedules.add(schedule(seconds=99))
    schedules.sync([schedule("declared")])
    schedules.remove("tick")
    with pytest.raises(InvalidSchedule, match="declared in code"):
        schedules.remove("declared")
    with pytest.raises(UnknownSchedule, match="no schedule 'tick'"):
        schedules.get("tick")
    assert [(stored.name, stored.origin) for stored, _ in schedules.list()] == [("declared", Origin.CODE)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Schedule("a", Spec(Cron("61 * * * *")), Order("m:f")), "61"),
        (Schedule("b", Spec(Cron("0 0 30 2 *")), Order("m:f")), "never due"),
        (Schedule("c", Spec(Interval(9)), Order("m:f", expires=1e17)), "not more than 100 years"),
        (Schedule(" ", Spec(Interval(9)), Order("m:f")), "no name"),
    ],
)
def test_what_cannot_be_kept_is_refused(schedules: Schedules, made: Schedule, said: str) -> None:
    with pytest.raises(InvalidSchedule, match=said):
        schedules.add(made)


# --- what fires ------------------------------------------------------------------------------------------------------


def test_a_due_time_is_claimed_once_and_stays_until_it_is_published(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule())
    assert look(database, BEGIN + 9).outgoing == ()
    first = look(database, BEGIN + 10.5)
    assert [each.fire.job_id for each in first.outgoing] == [job_id("tick", BEGIN + 10)]
    assert first.wake_at == BEGIN + 20
    assert look(database, BEGIN + 11).outgoing == first.outgoing, "whoever leads next publishes it"
    with database.write() as connection:
        store.mark(connection, [job_id("tick", BEGIN + 10)], FireState.PUBLISHED, BEGIN + 11)
    assert look(database, BEGIN + 12).outgoing == ()
    assert look(database, BEGIN + 3).outgoing == (), "a clock that was set back repeats nothing"
    assert states(schedules) == [FireState.PUBLISHED]


def test_leaders_that_look_at_once_claim_every_due_time_once(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(seconds=1, misfire=Misfire.RUN_ALL))
    ready = threading.Barrier(3)

    def lead(_: int) -> int:
        ready.wait()
        return sum(bool(look(database, BEGIN + second).wake_at) for second in range(20))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lead, range(3))) == [20, 20, 20]
    assert [fire.due - BEGIN for fire in reversed(schedules.fired("tick", 100))] == list(range(1, 20))


def test_what_was_missed_is_told(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(misfire=Misfire.RUN_ONCE, grace=1.0))
    found = look(database, BEGIN + 55)
    assert found.happened == (ScheduleMissed("tick", 5, 1, "run_once"),)
    assert [each.fire.due for each in found.outgoing] == [BEGIN + 50]


def test_skip_waits_for_the_end_of_the_previous_job(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(overlap=Overlap.SKIP))
    look(database, BEGIN + 10)
    assert look(database, BEGIN + 20).happened == (ScheduleSkipped("tick", 1, job_id("tick", BEGIN + 10)),)
    ended(database, job_id("tick", BEGIN + 10), FireState.DEAD)
    look(database, BEGIN + 30)
    assert states(schedules) == [FireState.DEAD, FireState.SKIPPED, FireState.CLAIMED]


def test_skip_fires_one_of_several_that_are_due_together(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(overlap=Overlap.SKIP, misfire=Misfire.RUN_ALL))
    look(database, BEGIN + 30)
    assert states(schedules) == [FireState.CLAIMED, FireState.SKIPPED, FireState.SKIPPED]


def test_cancel_running_cancels_what_has_not_ended_once(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(overlap=Overlap.CANCEL_RUNNING))
    ids = [job_id("tick", BEGIN + 10 * number) for number in range(4)]
    look(database, BEGIN + 10)
    with database.write() as connection:
        store.mark(connection, [ids[1]], FireState.PUBLISHED, BEGIN + 10)
    (second,) = look(database, BEGIN + 20).outgoing
    assert (second.fire.job_id, second.cancels) == (ids[2], (ids[1],))
    with database.write() as connection:
        store.mark(connection, [ids[2]], FireState.PUBLISHED, BEGIN + 20)
        store.mark(connection, [ids[1]], FireState.CANCELLING, BEGIN + 20)
    (third,) = look(database, BEGIN + 30).outgoing
    assert third.cancels == (ids[2],)


def test_resuming_makes_nothing_up_and_waits_for_nobody(database: Database, schedules: Schedules, clock: Clock) -> None:
    schedules.add(schedule(overlap=Overlap.SKIP))
    look(database, BEGIN + 10)
    with database.write() as connection:
        store.mark(connection, [job_id("tick", BEGIN + 10)], FireState.PUBLISHED, BEGIN + 10)
    schedules.pause("tick")
    assert look(database, BEGIN + 1000).wake_at is None
    clock.now = BEGIN + 1005
    assert schedules.resume("tick")
    assert not schedules.resume("tick")
    (found,) = look(database, BEGIN + 1010).outgoing
    assert found.fire.due == BEGIN + 1010
    assert states(schedules) == [FireState.FORGOTTEN, FireState.CLAIMED]


def test_resuming_begins_anew_where_the_clock_had_been_far_ahead(
    database: Database, schedules: Schedules, clock: Clock
) -> None:
    schedules.add(schedule())
    look(database, BEGIN + 10)
    look(database, BEGIN + 10_000)
    assert look(database, BEGIN + 30).wake_at == BEGIN + 10_010
    schedules.pause("tick")
    clock.now = BEGIN + 5
    schedules.resume("tick")
    look(database, BEGIN + 10)
    assert look(database, BEGIN + 20).wake_at == BEGIN + 30
    dues = [fire.due - BEGIN for fire in schedules.fired("tick", 100)]
    assert dues.count(10) == 1, "what has fired does not fire again"
    assert 20 in dues


def test_run_fires_once_more_also_while_paused(database: Database, schedules: Schedules, clock: Clock) -> None:
    schedules.add(schedule())
    schedules.pause("tick")
    clock.now = BEGIN + 10  # a due time of its own, were it not paused
    fire = schedules.run("tick")
    assert fire.job_id != job_id("tick", BEGIN + 10)
    (found,) = look(database, clock.now).outgoing
    assert (found.fire.job_id, found.fire.manual, found.cancels) == (fire.job_id, True, ())


def test_one_that_is_not_understood_here_keeps_no_other_from_firing(database: Database, schedules: Schedules) -> None:
    foreign = schedules.add(schedule("foreign"))
    schedules.add(schedule())
    unknown = msgspec.structs.replace(foreign.schedule, spec=Spec(Cron("* * * * *", "Mars/Olympus")))
    with database.write() as connection:
        store.put(connection, msgspec.structs.replace(foreign, schedule=unknown))
    found = look(database, BEGIN + 10)
    assert [each.fire.schedule for each in found.outgoing] == ["tick"]
    (delayed,) = found.happened
    assert isinstance(delayed, ScheduleDelayed)
    assert "Mars/Olympus" in delayed.error
    assert look(database, BEGIN + 10).happened == (), "it is put off"


def test_one_that_waits_for_its_queue_keeps_no_other_from_firing(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule("full", seconds=1, misfire=Misfire.RUN_ALL))
    schedules.add(schedule("late", seconds=150))
    found = look(database, BEGIN + 150)
    told = Counter(each.fire.schedule for each in found.outgoing)
    assert (told, found.has_more) == ({"full": 100, "late": 1}, True)
    assert [each.fire.due - BEGIN for each in found.outgoing[:2]] == [1, 2], "the oldest first"
    held = look(database, BEGIN + 150, {"full"})
    assert ([each.fire.schedule for each in held.outgoing], held.has_more) == (["late"], False)


def test_what_a_removed_schedule_has_claimed_is_given_up(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule("gone", misfire=Misfire.RUN_ALL))
    schedules.add(schedule())
    look(database, BEGIN + 30)
    schedules.remove("gone")
    found = look(database, BEGIN + 30)
    assert {each.fire.schedule for each in found.outgoing} == {"tick"}
    assert found.happened == (ScheduleGivenUp("gone", 3, "the schedule was removed"),)
    assert states(schedules, "gone") == [FireState.GIVEN_UP] * 3
    assert look(database, BEGIN + 30).happened == ()
    with database.write() as connection:
        store.mark(connection, [job_id("gone", BEGIN + 10)], FireState.PUBLISHED, BEGIN + 31)
    assert states(schedules, "gone")[0] is FireState.PUBLISHED, "it was on its way"


def test_the_last_word_on_a_job_counts(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule())
    look(database, BEGIN + 10)
    identity = job_id("tick", BEGIN + 10)
    ended(database, identity, FireState.DEAD)
    with database.write() as connection:
        store.mark(connection, [identity], FireState.PUBLISHED, BEGIN + 11)
        assert store.end(connection, identity, FireState.DONE, BEGIN + 12), "it was replayed"
        assert not store.end(connection, identity, FireState.DONE, BEGIN + 13)
        assert not store.end(connection, "somebody else's", FireState.DONE, BEGIN + 13)
    assert states(schedules) == [FireState.DONE]


def test_old_fires_are_dropped_but_none_that_waits_to_be_published(database: Database, schedules: Schedules) -> None:
    schedules.add(schedule(misfire=Misfire.RUN_ALL))
    look(database, BEGIN + 20)
    ended(database, job_id("tick", BEGIN + 10))
    with database.write() as connection:
        assert store.prune(connection, BEGIN + 20, 10) == 0
        assert store.prune(connection, BEGIN + 21, 10) == 1
    assert states(schedules) == [FireState.CLAIMED]
    (_, last) = schedules.list()[0]
    assert last is not None
    assert last.due == BEGIN + 20
