"""What is dropped, what is remembered of it, and what never is, on SQLite and PostgreSQL."""

from sqlalchemy import func, select

from warren.states import JobState
from warren.store.bulk import Bulk
from warren.store.database import Database
from warren.store.facts import Ended, Enqueued, Fact, ItemsEnded
from warren.store.gathering import gather
from warren.store.history import known_jobs, record
from warren.store.places import Place, advance, all_places, place
from warren.store.searching import index_texts
from warren.store.tables_history import dropped, items, jobs, kinds
from warren.store.upkeep import TRACES, retain, ripen

NOW = 10_000.0


def enqueued(number: int, ready_at: float = 0.0, replays: int = 0) -> Enqueued:
    return Enqueued(name(number), "m:f", "q", replays, 1, 10.0, ready_at, f'{{"args":[{number}]}}')


def ended(number: int, at: float) -> Ended:
    return Ended(name(number), "m:f", "q", 0, 1, at, JobState.DONE, value="1")


def name(number: int) -> str:
    return f"01890a5d-ac96-774b-bcce-{number:012x}" if number % 2 else f"by-hand-{number}"


def fill(database: Database, *facts: Fact) -> None:
    with database.write() as connection:
        record(connection, gather(facts), NOW)


def kept(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(jobs.c.id)).scalars())


def run_retain(database: Database, *, age: float = 0, keep: int = 0, now: float = NOW, batch: int = 500) -> int:
    with database.write() as connection:
        return retain(connection, now, age=age, keep=keep, batch=batch)


def test_age_counts_from_the_end_and_not_from_the_beginning(database: Database) -> None:
    fill(database, *(enqueued(number) for number in range(4)), ended(0, NOW - 200), ended(1, NOW - 50))
    assert run_retain(database, age=100) == 1
    assert kept(database) == {name(1), name(2), name(3)}


def test_the_newest_that_ended_are_kept_and_all_that_have_not(database: Database) -> None:
    fill(database, *(enqueued(number) for number in range(9)), *(ended(number, NOW - number) for number in range(6)))
    assert run_retain(database, keep=2) == 4
    assert kept(database) == {name(number) for number in (0, 1, 6, 7, 8)}


def test_what_is_over_goes_in_small_batches(database: Database) -> None:
    fill(database, *(ended(number, NOW - number) for number in range(7)))
    assert [run_retain(database, keep=1, batch=4) for _ in range(3)] == [4, 2, 0]


def test_nothing_goes_where_nothing_is_limited(database: Database) -> None:
    fill(database, *(ended(number, 1.0) for number in range(3)))
    assert run_retain(database) == 0


def test_nothing_stays_of_a_dropped_job_but_its_trace(database: Database) -> None:
    fill(database, enqueued(1), ItemsEnded(name(1), "m:f", "q", 0, 1, 20.0, {}, {0: "no"}), ended(1, 30.0))  # type: ignore[dict-item]
    with database.write() as connection:
        assert index_texts(connection, NOW) == 1
    run_retain(database, age=100)
    with database.read() as connection:
        tables = [connection.execute(select(func.count()).select_from(each)).scalar_one() for each in (jobs, items)]
        counts = connection.execute(select(func.sum(kinds.c.jobs))).scalar_one()
        found = connection.exec_driver_sql("SELECT count(*) FROM warren_texts").scalar_one()
        assert ([*tables, counts, found], connection.execute(select(func.count(dropped.c.id))).scalar_one()) == (
            [0] * 4,
            1,
        )


def test_facts_that_come_late_do_not_bring_a_dropped_job_back(database: Database) -> None:
    fill(database, *(ended(number, 30.0) for number in range(2)))
    run_retain(database, age=100)
    fill(database, *(enqueued(number) for number in range(3)))
    assert kept(database) == {name(2)}


def test_a_dropped_job_that_is_replayed_is_there_again(database: Database) -> None:
    fill(database, ended(1, 30.0))
    run_retain(database, age=100)
    fill(database, enqueued(1, replays=1))
    assert kept(database) == {name(1)}
    with database.read() as connection:
        assert connection.execute(select(func.count(dropped.c.id))).scalar_one() == 0


def test_traces_go_too_when_they_are_old_or_many(database: Database) -> None:
    fill(database, *(ended(number, 30.0) for number in range(4)))
    run_retain(database, age=100)
    run_retain(database, age=100, now=NOW + 100 * TRACES)
    with database.read() as connection:
        assert connection.execute(select(func.count(dropped.c.id))).scalar_one() == 0


def test_traces_are_bounded_in_number(database: Database) -> None:
    fill(database, *(ended(number, 30.0 + number) for number in range(2 * TRACES)))
    for _ in range(2 * TRACES):
        run_retain(database, keep=1, batch=2)
    with database.read() as connection:
        assert connection.execute(select(func.count(dropped.c.id))).scalar_one() <= TRACES + 2


def test_a_delay_that_is_over_makes_a_queued_job(database: Database) -> None:
    fill(database, enqueued(1, NOW + 50), enqueued(2, NOW + 500), enqueued(3))
    with database.write() as connection:
        assert [ripen(connection, NOW + 100), ripen(connection, NOW + 100)] == [1, 0]
        counts = {row.state: row.jobs for row in connection.execute(select(kinds))}
        assert known_jobs(Bulk(connection), [name(1)])[name(1)].record.state(NOW + 100) == JobState.QUEUED
    assert counts == {"delayed": 1, "queued": 2}


def test_the_place_in_a_stream_says_how_much_was_missed(database: Database) -> None:
    with database.write() as connection:
        assert place(connection, "s") is None
        advance(connection, "s", 10, NOW)
        advance(connection, "s", 50, NOW + 1, missed=30)
        advance(connection, "s", 60, NOW + 2)
        assert place(connection, "s") == Place(60, 30, NOW + 1)
        assert list(all_places(connection)) == ["s"]
