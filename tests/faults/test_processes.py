"""Pool processes, and the worker itself, that die or hang: only the job at fault is charged, nothing is lost."""

import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest
from tests.faults import jobs
from tests.faults.workers import running_worker, written
from tests.support import Broker, eventually

from warren.errors import JobFailed, MapFailed
from warren.producer import Producer


def test_a_killed_process_is_replaced_its_job_retried_and_the_others_untouched(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handles = [producer.enqueue(jobs.record, str(log), number, seconds=1.5) for number in (1, 2)]
        eventually(lambda: len(written(log)) == 2)
        before = worker.pool_pids()
        os.kill(before[0], signal.SIGKILL)
        assert [handle.result(20) for handle in handles] == [1, 2]
        eventually(lambda: len(worker.pool_pids()) == 2)
        assert before[1] in worker.pool_pids()
        begun = sorted(line["number"] for line in written(log) if line.get("begins"))
        assert begun in ([1, 1, 2], [1, 2, 2])
        assert worker.metric("warren_pool_exits_total", reason="crashed") == 1
        assert worker.metric("warren_jobs_finished_total", outcome="crashed") == 1


def test_an_idle_process_that_is_killed_costs_no_job(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, processes=1) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        (victim,) = eventually(worker.pool_pids)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: worker.metric("warren_pool_exits_total", reason="crashed") == 1)
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(20) == 1
        assert worker.metric("warren_jobs_finished_total", outcome="crashed") == 0


def test_a_job_that_kills_its_process_is_a_dead_letter_after_max_crashes_with_the_signal(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        good = [producer.enqueue(jobs.record, str(tmp_path / "good"), number) for number in range(20)]
        with pytest.raises(JobFailed, match="SIGKILL") as caught:
            producer.enqueue(jobs.kill_itself, str(log)).result(30)
        assert caught.value.reason == "crashed"
        assert [line["attempt"] for line in written(log)] == [1, 2]
        assert [handle.result(20) for handle in good] == list(range(20))
        eventually(lambda: worker.metric("warren_dead_letters_total", reason="crashed") == 1)


def test_a_job_that_exits_its_process_once_succeeds_at_the_next_attempt(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        assert producer.enqueue(jobs.crash_once, str(log), 5).result(20) == 5
        assert [line["attempt"] for line in written(log)] == [1, 2]


def test_failed_items_of_a_chunk_alone_are_retried_and_the_rest_is_done_once(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        trouble = {"bad": [13], "deadly": [77], "flaky": list(range(0, 200, 50))}
        with pytest.raises(MapFailed) as caught:
            producer.map(jobs.square.options(max_crashes=2), range(200), chunk=40, kwargs=trouble).results(60)
        assert set(caught.value.failed) == {13, 77}
        assert "13 is bad" in caught.value.failed[13]
        assert "SIGKILL" in caught.value.failed[77]
        expected = [None if number in {13, 77} else number * number for number in range(200)]
        assert caught.value.results == expected


def test_the_death_of_the_nursery_is_survived(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        log = tmp_path / "log"
        running = producer.enqueue(jobs.record, str(log), 1, seconds=1)
        eventually(lambda: written(log))
        (nursery,) = psutil.Process(worker.pid).children()
        left = nursery.children()
        nursery.kill()
        psutil.wait_procs([nursery, *left], timeout=10)
        assert running.result(20) == 1
        assert {line["attempt"] for line in written(log)} == {1}, "not charged to the job"


def test_a_soft_time_limit_is_a_failure_inside_the_task(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path),
        Producer(url=broker.url, namespace=namespace) as producer,
        pytest.raises(JobFailed, match=r"TimeLimitExceeded: over its time limit of 0\.3 s"),
    ):
        producer.enqueue(jobs.too_slow).result(20)


def test_a_task_that_swallows_everything_is_killed_after_kill_after(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        with pytest.raises(JobFailed, match="kill_after"):
            producer.enqueue(jobs.stuck).result(20)
        assert worker.metric("warren_pool_exits_total", reason="killed") == 1


def test_metrics_counted_inside_tasks_arrive_in_the_parent(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handles = [producer.enqueue(jobs.count, kind) for kind in ["tea"] * 20 + ["milk"] * 5]
        for handle in handles:
            handle.result(20)
        assert worker.metric("faults_things_total", kind="tea") == 20
        assert worker.metric("faults_things_total", kind="milk") == 5


def test_the_start_method_spawn_works_as_well(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, start_method="spawn"),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        assert producer.enqueue(jobs.crash_once, str(tmp_path / "log"), 3).result(20) == 3


def test_items_that_were_done_when_another_killed_their_process_do_not_run_again(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with (
        running_worker(broker.url, namespace, tmp_path),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handle = producer.map(jobs.note_or_die, range(500), chunk=100, kwargs={"path": str(runs), "every": 50})
        assert handle.results(60) == list(range(500))
    begun = Counter(line["number"] for line in written(runs))
    assert begun == {number: 1 + (number % 50 == 49) for number in range(500)}
