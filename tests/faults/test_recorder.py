"""Recorders that are stopped, killed, doubled, or have no broker and no database for a while: the store equals what was run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import history_jobs
from tests.faults.recorders import Row, kept, recorder
from tests.faults.workers import running_worker
from tests.store.postgres import PostgresServer
from tests.support import Broker, eventually

from warren.console.private_broker import PrivateBroker
from warren.errors import StoreUnavailable
from warren.producer import Producer
from warren.task import Task

MODULE = "tests.faults.history_jobs"
JOBS = int(os.environ.get("WARREN_TEST_HISTORY", "150"))
"""50,000 takes minutes."""
MINUTES = max(60.0, JOBS / 100)


def run(url: str, namespace: str, count: int) -> dict[str, Row]:
    """Enqueue jobs of all sorts, and return what the store must have of them in the end."""
    rows: dict[str, Row] = {}
    square, quiet, second, never, cancels = (
        history_jobs.square,
        history_jobs.silent,
        history_jobs.second_time,
        history_jobs.never,
        history_jobs.cancels,
    )
    with Producer(url=url, namespace=namespace, publish_timeout=60) as producer:
        few = max(4, count // 50)

        def enqueue(task: "Task[[int], int]", numbers: range, state: str, attempt: int) -> list[str]:
            handles = producer.enqueue_many(task.call(n) for n in numbers)
            ids = [handle.id for handle in handles]
            rows.update({one: Row(task.name, state, attempt, None) for one in ids})
            return ids

        for number, one in enumerate(enqueue(square, range(count), "done", 1)):
            rows[one] = Row(square.name, "done", 1, str(number * number))
        for number, one in enumerate(enqueue(second, range(few), "done", 2)):
            rows[one] = Row(second.name, "done", 2, str(-number))
        enqueue(quiet, range(few), "done", 1)
        enqueue(never, range(few), "dead", 2)
        enqueue(cancels, range(few), "cancelled", 1)
    return rows


def equals(store: str, rows: dict[str, Row]) -> bool:
    try:
        return kept(store) == rows
    except StoreUnavailable:
        return False


def until_equal(store: str, rows: dict[str, Row]) -> None:
    """Wait until the store has exactly these rows; tell what differs if it never does."""
    try:
        eventually(lambda: equals(store, rows), MINUTES)
    except AssertionError:
        found = kept(store)
        wrong = {one: (row, found.get(one)) for one, row in rows.items() if found.get(one) != row}
        raise AssertionError(
            f"{len(wrong)} of {len(rows)} differ: {list(wrong.items())[:5]}; {found.keys() - rows.keys()}"
        ) from None


@contextmanager
def worker(broker: Broker, namespace: str, tmp_path: Path) -> Iterator[None]:
    with running_worker(broker.url, namespace, tmp_path, MODULE, log_level="warning", read_ahead=64) as process:
        yield
        process.kill()


def test_what_was_run_without_a_recorder_is_there_after_recorders_that_were_killed_in_mid_batch(
    broker: Broker, namespace: str, tmp_path: Path, store_url: str
) -> None:
    with recorder(broker.url, namespace, store_url, tmp_path) as first:
        first.wait_for("ready").stop()
    with running_worker(broker.url, namespace, tmp_path, MODULE):
        rows = run(broker.url, namespace, JOBS)
        for dies_after in (1, 2):
            with recorder(broker.url, namespace, store_url, tmp_path, dies_after=dies_after) as dying:
                assert dying.process.wait(120) == -9
        for _ in range(JOBS // 10_000):  # wherever it is
            with recorder(broker.url, namespace, store_url, tmp_path) as killed:
                killed.wait_for("ready")
                before = len(kept(store_url))
                eventually(lambda: len(kept(store_url)) > before)  # noqa: B023 - called in this turn
                killed.kill()
        with recorder(broker.url, namespace, store_url, tmp_path) as last:
            until_equal(store_url, rows)
            assert not last.lines("history is incomplete: messages were dropped before they were recorded")
            eventually(lambda: "warren_recorder_lag_seconds 0.0" in last.get("/metrics"))
            last.stop()
    assert kept(store_url) == rows


def test_a_second_recorder_stands_by_and_goes_on_when_the_first_is_killed(
    broker: Broker, namespace: str, tmp_path: Path, sqlite_url: str
) -> None:
    with (
        recorder(broker.url, namespace, sqlite_url, tmp_path) as first,
        running_worker(broker.url, namespace, tmp_path, MODULE),
    ):
        first.wait_for("leading")
        with recorder(broker.url, namespace, sqlite_url, tmp_path) as second:
            second.wait_for("standing by: another one leads").wait_for("ready")
            rows = run(broker.url, namespace, 50)
            first.kill()
            rows |= run(broker.url, namespace, 50)
            second.wait_for("leading")
            until_equal(sqlite_url, rows)


def test_a_database_that_is_away_costs_no_history_and_nobody_else_anything(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    server = PostgresServer()
    try:
        server.start()
        store = server.url(server.make())
        with (
            recorder(broker.url, namespace, store, tmp_path) as recording,
            running_worker(broker.url, namespace, tmp_path, MODULE),
        ):
            recording.wait_for("ready")
            rows = run(broker.url, namespace, 20)
            server.stop()
            with Producer(url=broker.url, namespace=namespace) as producer:
                handle = producer.enqueue(history_jobs.square, 9)
                assert handle.result(timeout=60) == 81
            rows[handle.id] = Row(history_jobs.square.name, "done", 1, "81")
            recording.wait_for("the store does not answer, trying again")
            server.start()
            until_equal(store, rows)
            assert recording.lines("the store can be used again")
    finally:
        server.close()


def test_a_restarted_broker_costs_no_history(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path, sqlite_url: str
) -> None:
    with (
        recorder(own_broker.url, namespace, sqlite_url, tmp_path) as recording,
        running_worker(own_broker.url, namespace, tmp_path, MODULE),
    ):
        recording.wait_for("ready")
        rows = run(own_broker.url, namespace, 50)
        own_broker.restart()
        rows |= run(own_broker.url, namespace, 50)
        until_equal(sqlite_url, rows)
