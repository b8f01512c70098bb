"""Stopping a worker: what runs may finish, the rest is given back; nothing is lost or counted as a failure."""

import os
import pty
import signal
from pathlib import Path

from tests.faults import jobs
from tests.faults.workers import Gate, begun, running_worker, written
from tests.support import Broker, eventually

from warren.producer import Producer


def attempts(log: Path) -> list[tuple[int, int]]:
    return sorted((line["number"], line["attempt"]) for line in written(log) if not line.get("begins"))


def test_sigterm_lets_running_jobs_finish_and_gives_back_the_rest(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path, processes=2, grace_period=250) as worker:
            handles = [producer.enqueue(jobs.record, str(log), number, until=gate.path) for number in range(12)]
            eventually(lambda: len(written(log)) == 2)
            worker.terminate()
            eventually(lambda: worker.get("/readyz")[0] == 503)
            gate.open()
            assert worker.wait() == 0
            assert [line["given_back"] for line in worker.lines("worker stopped")] == [0]
        assert attempts(log) == [(0, 1), (1, 1)]
        with running_worker(broker.url, namespace, tmp_path, processes=6):
            assert [handle.result(120) for handle in handles] == list(range(12))
    assert attempts(log) == [(number, 1) for number in range(12)]


def test_a_job_longer_than_the_grace_period_is_given_back_uncharged_and_run_by_the_next_worker(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path, grace_period=0.5) as worker:
            handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
            eventually(lambda: written(log))
            worker.terminate()
            assert worker.wait() == 0
            assert [line["given_back"] for line in worker.lines("worker stopped")] == [1]
        gate.open()
        with running_worker(broker.url, namespace, tmp_path):
            assert handle.result(120) == 1
    assert attempts(log) == [(1, 1)]


def test_a_second_signal_hurries(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        Producer(url=broker.url, namespace=namespace) as producer,
        running_worker(broker.url, namespace, tmp_path, grace_period=300) as worker,
    ):
        producer.enqueue(jobs.record, str(log), 1, until=Gate(tmp_path).path)
        eventually(lambda: written(log))
        worker.process.send_signal(signal.SIGINT)
        eventually(lambda: worker.lines("worker stopping, no new jobs"))
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 0


def test_a_chunk_in_the_middle_is_given_back_whole(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path, grace_period=0.2) as worker:
            there = {"path": str(log), "until": gate.path}
            handle = producer.map(jobs.record_from_second_on, range(6), chunk=6, kwargs=there)
            eventually(lambda: attempts(log) == [(0, 1)] and len(begun(log)) > 1)
            worker.terminate()
            assert worker.wait() == 0
            assert [line["given_back"] for line in worker.lines("worker stopped")] == [1]
        gate.open()
        with running_worker(broker.url, namespace, tmp_path):
            assert handle.results(120) == list(range(6))
    assert begun(log).count(0) == 2, "what was done is done again with the rest"
    assert {line["attempt"] for line in written(log)} == {1}


def test_a_worker_that_is_killed_leaves_no_process_behind_and_its_job_is_run_by_the_next(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path) as worker:
            handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
            eventually(lambda: written(log))
            worker.kill()
        gate.open()
        with running_worker(broker.url, namespace, tmp_path):
            assert handle.result(120) == 1


def test_ctrl_c_at_a_terminal_reaches_the_worker_alone_and_running_jobs_finish(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    ours, theirs = pty.openpty()
    with (
        Producer(url=broker.url, namespace=namespace) as producer,
        running_worker(broker.url, namespace, tmp_path, terminal=theirs, grace_period=250) as worker,
    ):
        os.close(theirs)
        handles = [producer.enqueue(jobs.listen_for_interrupts, str(log), gate.path) for _ in range(2)]
        eventually(lambda: len(written(log)) == 2)
        os.write(ours, b"\x03")
        eventually(lambda: worker.get("/readyz")[0] == 503)
        assert [line["signal"] for line in worker.lines("worker stopping, no new jobs")] == ["SIGINT"]
        gate.open()
        assert [handle.result(120) for handle in handles] == [[], []]
        assert worker.wait() == 0
    os.close(ours)
