"""Pool processes, and the worker itself, that die or hang: only the job at fault is charged, nothing is lost."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from tests.faults import jobs
from tests.faults.workers import Gate, begun, worker_and_producer, written
from tests.support import Broker, eventually

from warren.errors import JobFailed, MapFailed


def test_a_killed_process_is_replaced_its_job_retried_and_the_others_untouched(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=2) as (worker, producer):
        handles = [producer.enqueue(jobs.record, str(log), number, until=gate.path) for number in (1, 2)]
        eventually(lambda: len(written(log)) == 2)
        before = worker.pool_pids()
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: worker.metric("warren_pool_exits_total", reason="crashed") == 1)
        gate.open()
        assert [handle.result(120) for handle in handles] == [1, 2]
        assert before[1] in worker.whole_pool()
        assert sorted(begun(log)) in ([1, 1, 2], [1, 2, 2])
        assert worker.metric("warren_pool_exits_total", reason="crashed") == 1
        assert worker.metric("warren_jobs_finished_total", outcome="crashed") == 1


def test_an_idle_process_that_is_killed_costs_no_job(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with worker_and_producer(broker, namespace, tmp_path, processes=1) as (worker, producer):
        (victim,) = eventually(worker.pool_pids)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: worker.metric("warren_pool_exits_total", reason="crashed") == 1)
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(120) == 1
        assert worker.metric("warren_jobs_finished_total", outcome="crashed") == 0


def test_a_job_that_kills_its_process_is_a_dead_letter_after_max_crashes_with_the_signal(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        good = [producer.enqueue(jobs.record, str(tmp_path / "good"), number) for number in range(20)]
        with pytest.raises(JobFailed, match="SIGKILL") as caught:
            producer.enqueue(jobs.kill_itself, str(log)).result(120)
        assert caught.value.reason == "crashed"
        assert [line["attempt"] for line in written(log)] == [1, 2]
        assert [handle.result(120) for handle in good] == list(range(20))
        eventually(lambda: worker.metric("warren_dead_letters_total", reason="crashed") == 1)


def test_a_job_that_exits_its_process_once_succeeds_at_the_next_attempt(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path) as (_, producer):
        assert producer.enqueue(jobs.crash_once, str(log), 5).result(120) == 5
        assert [line["attempt"] for line in written(log)] == [1, 2]


def test_failed_items_of_a_chunk_alone_are_retried_and_the_rest_is_done_once(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(broker, namespace, tmp_path) as (_, producer):
        trouble = {"bad": [13], "deadly": [77], "flaky": list(range(0, 200, 50))}
        with pytest.raises(MapFailed) as caught:
            producer.map(jobs.square.options(max_crashes=2), range(200), chunk=40, kwargs=trouble).results(120)
        assert set(caught.value.failed) == {13, 77}
        assert "13 is bad" in caught.value.failed[13]
        assert "SIGKILL" in caught.value.failed[77]
        expected = [None if number in {13, 77} else number * number for number in range(200)]
        assert caught.value.results == expected


def test_the_death_of_the_nursery_is_survived(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        log, gate = tmp_path / "log", Gate(tmp_path)
        running = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: written(log))
        (nursery,) = psutil.Process(worker.pid).children()
        left = nursery.children()
        nursery.kill()
        psutil.wait_procs([nursery, *left], timeout=60)
        gate.open()
        assert running.result(120) == 1
        assert begun(log) == [1, 1], "it died with the nursery"
        assert {line["attempt"] for line in written(log)} == {1}, "not charged to the job"


def test_a_soft_time_limit_is_a_failure_inside_the_task(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        worker_and_producer(broker, namespace, tmp_path) as (_, producer),
        pytest.raises(JobFailed, match=r"TimeLimitExceeded: over its time limit of 0\.3 s"),
    ):
        producer.enqueue(jobs.too_slow).result(120)


def test_a_task_that_swallows_everything_is_killed_after_kill_after(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        with pytest.raises(JobFailed, match="kill_after"):
            producer.enqueue(jobs.stuck).result(120)
        eventually(lambda: worker.metric("warren_pool_exits_total", reason="killed") == 1)


def test_metrics_counted_inside_tasks_arrive_in_the_parent(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with worker_and_producer(broker, namespace, tmp_path, processes=2) as (worker, producer):
        handles = [producer.enqueue(jobs.count, kind) for kind in ["tea"] * 20 + ["milk"] * 5]
        for handle in handles:
            handle.result(120)
        assert worker.metric("faults_things_total", kind="tea") == 20
        assert worker.metric("faults_things_total", kind="milk") == 5


def test_the_start_method_spawn_works_as_well(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with worker_and_producer(broker, namespace, tmp_path, start_method="spawn") as (_, producer):
        assert producer.enqueue(jobs.crash_once, str(tmp_path / "log"), 3).result(120) == 3
