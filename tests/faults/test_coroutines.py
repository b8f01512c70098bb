"""Many coroutines at a time on real workers: as many as there are places, beside plain jobs, and given back as a whole."""

import os
import signal
from pathlib import Path

import pytest
from tests.faults import coroutine_jobs as jobs
from tests.faults.workers import Gate, begun, running_worker, written
from tests.support import Broker, eventually

from warren.errors import JobFailed
from warren.producer import Producer

JOBS = "tests.faults.coroutine_jobs"


def test_all_places_of_all_processes_are_used_and_no_more_jobs_are_taken(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with (
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=2, coroutines=100, log_level="info") as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handles = producer.enqueue_many(jobs.record.call(str(log), number, gate.path) for number in range(250))
        eventually(lambda: len(begun(log)) == 200, message="all places are taken")
        assert worker.metric("warren_jobs_running") == 200
        gate.open()
        assert [handle.result(timeout=120) for handle in handles] == list(range(250))
        assert sorted(begun(log)) == list(range(250)), "none ran twice"


def test_a_blocking_coroutine_is_named_and_the_rest_still_finish(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with (
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=2, coroutines=50, log_level="info") as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        naps = producer.enqueue_many(jobs.nap.call(number) for number in range(100))
        blocking = producer.enqueue(jobs.block, str(tmp_path / "log"), gate.path)
        more = producer.enqueue_many(jobs.nap.call(number) for number in range(100))
        eventually(lambda: worker.lines("event loop blocked"), message="the blocked loop is told")
        gate.open()
        for handle in (*naps, blocking, *more):
            handle.result(timeout=120)
        (line,) = worker.lines("event loop blocked")
        assert (line["job_id"], line["task"]) == (blocking.id, jobs.block.name)
        assert "in wait_for" in line["stack"]
        assert worker.metric("warren_loop_blocked_total", task=jobs.block.name) == 1


def test_plain_jobs_of_the_same_queue_are_not_hoarded_behind_each_other(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with (
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=1, coroutines=20) as first,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        for number in range(4):
            producer.enqueue(jobs.record, str(log), 100 + number, gate.path)
        eventually(lambda: len(begun(log)) == 4)
        handles = [producer.enqueue(jobs.record_plainly, str(log), number, gate.path) for number in range(3)]
        eventually(lambda: 0 in begun(log), message="a plain job runs beside the coroutines")
        with running_worker(broker.url, namespace, tmp_path, JOBS, processes=2):
            eventually(lambda: {0, 1, 2} <= set(begun(log)), message="the others go to who can run them")
            gate.open()
            assert [handle.result(timeout=120) for handle in handles] == [0, 1, 2]
        assert first.process.poll() is None


@pytest.mark.parametrize("in_subtask", [False, True])
def test_neighbours_of_a_coroutine_that_kills_its_process_run_again_uncharged(
    broker: Broker, namespace: str, tmp_path: Path, in_subtask: bool
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with (
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=1, coroutines=20),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        others = [producer.enqueue(jobs.record, str(log), number, gate.path + "2") for number in range(5)]
        deadly = producer.enqueue(jobs.kill_process, str(log), 99, gate.path, in_subtask)
        eventually(lambda: sorted(begun(log)) == [*range(5), 99])
        gate.open()
        with pytest.raises(JobFailed) as failed:
            deadly.result(timeout=120)
        assert failed.value.reason == "crashed"
        Path(gate.path + "2").touch()
        assert [handle.result(timeout=120) for handle in others] == list(range(5))
        runs = [line for line in written(log) if line.get("begins") and line["number"] < 5]
        assert {line["attempt"] for line in runs} == {1}
        assert sorted(line["number"] for line in runs) == sorted([*range(5)] * 2)


def test_sigterm_lets_coroutines_finish_and_gives_back_those_that_do_not(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path, JOBS, processes=1, grace_period=2) as worker:
            short = [producer.enqueue(jobs.record, str(log), number, gate.path) for number in range(3)]
            long = producer.enqueue(jobs.record, str(log), 9, gate.path + "2")
            eventually(lambda: sorted(begun(log)) == [0, 1, 2, 9])
            os.kill(worker.pid, signal.SIGTERM)
            eventually(lambda: worker.lines("worker stopping, no new jobs"), message="it drains")
            gate.open()
            assert [handle.result(timeout=120) for handle in short] == [0, 1, 2]
            assert worker.wait() == 0
        with running_worker(broker.url, namespace, tmp_path, JOBS, processes=1):
            Path(gate.path + "2").touch()
            assert long.result(timeout=120) == 9
        assert [line["attempt"] for line in written(log) if line["number"] == 9 and line.get("begins")] == [1, 1]
