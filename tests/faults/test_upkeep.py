"""A worker whose processes have limits: a job that takes too much memory is a dead letter that says so, the others are done."""

import itertools
from pathlib import Path

import pytest
from tests.faults import heavy, jobs
from tests.faults.workers import JOBS, running_worker, written
from tests.support import Broker, eventually

from warren.errors import JobFailed
from warren.producer import Producer

HEAVY = "tests.faults.heavy"


def test_a_job_that_takes_memory_until_it_is_killed_is_a_dead_letter_that_says_so(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, JOBS, HEAVY, max_memory_per_process="200MiB") as worker,
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        good = [producer.enqueue(jobs.record, str(log), number) for number in range(50)]
        for greedy in (heavy.take_for_ever, heavy.take_in_c):
            with pytest.raises(JobFailed, match="over its memory limit of 200 MiB") as caught:
                producer.enqueue(greedy).result(120)
            assert caught.value.reason == "crashed"
        assert [handle.result(120) for handle in good] == list(range(50))
        assert worker.metric("warren_pool_exits_total", reason="killed") == 2
        assert worker.metric("warren_pool_exits_total", reason="crashed") == 0
    assert {line["attempt"] for line in written(log)} == {1}


def test_processes_that_are_replaced_all_the_time_run_each_job_once(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, max_jobs_per_process=5) as worker,
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        producer.enqueue_many(jobs.record_quietly.call(str(log), number) for number in range(2000))
        eventually(lambda: len(written(log)) >= 2000)
        singly = itertools.count(2000)

        def replaced_twice_over() -> bool:
            """Give the successors jobs as well: the first two may have run all of the many before those were there."""
            number = next(singly)
            assert producer.enqueue(jobs.record, str(log), number).result(120) == number
            return worker.metric("warren_pool_exits_total", reason="stopped") >= 4

        eventually(replaced_twice_over)
        assert worker.metric("warren_pool_exits_total", reason="crashed") == 0
        assert worker.metric("warren_pool_exits_total", reason="killed") == 0
    numbers = [line["number"] for line in written(log) if "begins" not in line]
    assert sorted(numbers) == list(range(next(singly)))
