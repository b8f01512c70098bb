"""Waiting is the broker's: retries and delayed jobs, their spacing, their survival, and the worker's memory."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from tests.faults import jobs
from tests.faults.workers import worker_and_producer, written
from tests.support import Broker, Management, eventually, eventually_on_disk

from warren.console.private_broker import PrivateBroker
from warren.errors import JobFailed

WAIT = 0.5
DELAYED = 8_000


def delayed(broker: Broker, namespace: str) -> int:
    """Messages in the levels of the delay."""
    management = Management(broker)
    try:
        found = management.call("GET", f"queues/{management.vhost}")
    finally:
        management.close()
    return sum(int(str(one.get("messages", 0))) for one in found if str(one["name"]).startswith(f"{namespace}.delay."))


def test_five_attempts_have_their_spacing_and_know_their_past_and_the_job_then_is_a_dead_letter(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, cause = tmp_path / "log", tmp_path / "cause"
    cause.touch()
    with worker_and_producer(broker, namespace, tmp_path) as (_, producer):
        handle = producer.enqueue(jobs.fail_while, str(log), str(cause))
        with pytest.raises(JobFailed, match="attempt 5 found cause") as caught:
            handle.result(120)
    lines = written(log)
    assert caught.value.reason == "failed"
    assert [line["attempt"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["last_error"] for line in lines] == [
        "",
        *(f"ConnectionError: attempt {number} found cause" for number in (1, 2, 3, 4)),
    ]
    # Five trips through the same levels: the broker's rule against dead-letter cycles would hold the job there for ever.
    assert all(later["at"] - earlier["at"] >= WAIT for earlier, later in pairwise(lines))


def test_delays_are_never_early(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log, random = tmp_path / "log", Random(7)
    with worker_and_producer(broker, namespace, tmp_path) as (_, producer):
        delays = [random.uniform(0.1, 5.0) for _ in range(500)]
        handles = producer.enqueue_many(
            jobs.record.options(delay=delay).call(str(log), number) for number, delay in enumerate(delays)
        )
        for handle in handles:
            handle.result(120)
        due = {handle.id: handle.due for handle in handles}
    ended = [line for line in written(log) if not line.get("begins")]
    assert sorted(line["number"] for line in ended) == list(range(500))
    assert min(line["at"] - due[line["id"]] for line in ended) >= 0


def test_thousands_of_delayed_jobs_cost_a_worker_nothing_and_survive_the_broker(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(own_broker, namespace, tmp_path) as (worker, producer):
        for number in range(50):
            producer.enqueue(jobs.record, str(tmp_path / "log"), number).result(120)
        before = worker.memory()
        task = jobs.record_quietly.options(delay=3600)
        producer.enqueue_many(task.call(str(tmp_path / "log"), number) for number in range(DELAYED))
        producer.enqueue(jobs.record, str(tmp_path / "log"), 50).result(120)
        grown = worker.memory() - before
        print(f"PSS of the worker's tree grew by {grown / 1e6:.2f} MB")
        assert grown < 2_000_000
        eventually(lambda: delayed(own_broker, namespace) == DELAYED)
        eventually_on_disk(own_broker.folder, f"{namespace}.delay.15", f"{namespace}.queue.default")
        own_broker.kill()
        own_broker.start()
        eventually(lambda: worker.lines("broker connected again"))
        eventually(lambda: delayed(own_broker, namespace) == DELAYED)
