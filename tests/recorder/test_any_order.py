"""What a stream brings, brought in any order and twice: the same store."""

import random
from typing import Any

import msgspec
from sqlalchemy import text
from tests.faults.recorders import Row, kept

from warren import result, telling
from warren.amqp.seam import Delivery, Message
from warren.delay import route
from warren.job import Body, Job, to_message
from warren.recorder.ledger import Ledger
from warren.recorder.reading import Reading
from warren.result import Result
from warren.states import JobState
from warren.store.database import Database
from warren.store.gathering import gather
from warren.telling import Began, Finished
from warren.topology import Names

NAMES = Names("ns")
T0 = 1_000_000.0


def deliveries(count: int) -> list[Delivery]:
    """Jobs that fail once, are delayed and done; every third is dead then, replayed, and done."""
    found: list[Delivery] = []

    def add(message: Message, exchange: str, key: str) -> None:
        found.append(Delivery(message, "s", exchange, key, redelivered=False, tag=0, channel=None))

    for number in range(count):
        at = T0 + 10 * number
        job = Job(
            f"job {number}", Body("m:f", [msgspec.Raw(b"1")]), "q", enqueued_at=at, ready_at=at, first_ready_at=at
        )
        add(to_message(job), NAMES.jobs, "q")
        again = job.next_attempt("E: no", failed=True)
        said: dict[str, Any] = {"id": job.id, "task": "m:f", "queue": "q", "attempt": 1}
        news = (Began(at=at + 1, **said), Finished(at=at + 2, outcome="retry", seconds=1.0, retry_in=1.0, **said))
        add(telling.to_message("w", news, at + 2), NAMES.history.events, "jobs")
        add(to_message(again), *route(NAMES, "q", 1.0))
        state = JobState.DONE if number % 3 else JobState.DEAD
        add(*_result(Result(job.id, "m:f", "q", state, 2, at + 4, "w", msgspec.Raw(b"7"), started_at=at + 3), again))
        if state is JobState.DEAD:
            replayed = msgspec.structs.replace(job, replays=1, ready_at=at + 5, first_ready_at=at + 5)
            add(to_message(replayed), NAMES.jobs, "q")
            add(
                *_result(
                    Result(job.id, "m:f", "q", JobState.DONE, 1, at + 6, "w", msgspec.Raw(b"8"), replays=1), replayed
                )
            )
    return found


def _result(told: Result, job: Job) -> tuple[Message, str, str]:
    message, key = result.to_message(told, job)
    return message, NAMES.results, key


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        columns = "id, life, attempt, failures, enqueued_at, started_at, finished_at, value, worker, last_error"
        jobs = connection.execute(text(f"SELECT {columns} FROM warren_jobs ORDER BY id"))
        attempts = connection.execute(text("SELECT * FROM warren_attempts ORDER BY job, life, attempt, ended_at"))
        return [tuple(row) for row in (*jobs, *attempts)]


def record(database: Database, brought: list[Delivery], batch: int) -> None:
    ledger, reading = Ledger(database, "s"), Reading(NAMES)
    for start in range(0, len(brought), batch):
        facts = [fact for one in brought[start : start + batch] for fact in reading.facts(one, T0 + 10_000)]
        ledger.record(gather(facts), ledger.following(), start + batch, T0 + 10_000)


def test_the_store_is_the_same_in_whatever_order_and_how_often_messages_come(database: Database) -> None:
    brought = deliveries(9)
    record(database, brought, 1_000)
    expected = rows(database)
    assert len(expected) > 9
    chance = random.Random(5)
    for batch in (1, 7):
        with database.write() as connection:
            for table in ("warren_jobs", "warren_attempts", "warren_kinds", "warren_places"):
                connection.execute(text(f"DELETE FROM {table}"))
        record(database, chance.sample(brought * 2, len(brought) * 2), batch)
        assert rows(database) == expected


def test_a_replayed_job_ends_as_its_last_life_did(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.migrate()
    record(database, deliveries(3), 1_000)
    assert kept(sqlite_url) == {
        "job 0": Row("m:f", "done", 1, "8"),
        "job 1": Row("m:f", "done", 2, "7"),
        "job 2": Row("m:f", "done", 2, "7"),
    }
    database.close()
