"""What goes wrong with one job, one publish or one process costs nobody else anything."""

import time
from pathlib import Path

import psutil
import pytest
from tests.faults import jobs
from tests.faults.raw import RECORD, dead_letters, delete, publish_raw
from tests.faults.workers import Gate, WorkerProcess, begun, memory_alarm, worker_and_producer, written
from tests.support import Broker, eventually

from warren.console.private_broker import PrivateBroker
from warren.errors import Unroutable
from warren.producer import Producer

LONGEST_WAIT = 5.0
"""Seconds between a worker's attempts to connect, at most."""


def test_a_publish_that_the_broker_refuses_costs_no_other_job_a_redelivery(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=2) as (worker, producer):
        assert producer.enqueue(jobs.record.options(delay=0.4), str(log), 0).result(120) == 0
        neighbour = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: begun(log) == [0, 1])
        for level in range(6):
            delete(broker, "exchanges", f"{namespace}.delay.{level:02d}")
        retried = producer.enqueue(jobs.fail_once, str(tmp_path / "other"))
        assert retried.result(120) == 2, "the levels were declared again"
        gate.open()
        assert neighbour.result(120) == 1
        assert worker.metric("warren_broker_reconnects_total") == 0
        assert dead_letters(broker, namespace) == []


def test_outcomes_that_cannot_be_published_for_a_while_are_published_once(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(own_broker, namespace, tmp_path, name=namespace, processes=2, publish_timeout=1) as (
        worker,
        producer,
    ):
        assert producer.enqueue(jobs.record, str(log), 1).result(120) == 1
        retried = producer.enqueue(jobs.fail_once, str(log), until=gate.path)
        eventually(lambda: len(written(log)) == 3)
        with memory_alarm(own_broker, namespace):
            gate.open()
            waiting = "cannot publish an outcome yet, trying again; the job stays unacked"
            eventually(lambda: len(worker.lines(waiting)) >= 4)
        assert retried.result(120) == 2
        eventually(lambda: worker.metric("warren_jobs_running") == 0)
        assert [line["attempt"] for line in written(log)][2:] == [1, 2]


def test_a_worker_that_stops_while_the_broker_comes_back_touches_no_waiting_job(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(own_broker, namespace, tmp_path, processes=2, grace_period=250) as (worker, producer):
        producer.enqueue(jobs.record, str(log), 0, until=gate.path)
        eventually(lambda: begun(log) == [0])
        own_broker.stop()
        eventually(lambda: worker.get("/readyz")[0] == 503)
        worker.terminate()
        own_broker.start()
        for number in range(1, 51):
            producer.enqueue(jobs.record, str(log), number)
        time.sleep(LONGEST_WAIT + 1)  # what must not happen has the time to: a worker that does not stop is back by now
        gate.open()
        assert worker.wait() == 0
        assert dead_letters(own_broker, namespace) == []
        assert begun(log) == [0]


def test_refused_publishes_leave_no_connections_behind(broker: Broker, namespace: str) -> None:
    with Producer(url=broker.url, namespace=namespace, declare=False) as producer:
        for _ in range(10):
            with pytest.raises(Unroutable):
                producer.enqueue(jobs.count, "x")
        eventually(lambda: len(open_connections(broker)) <= 2)


def open_connections(broker: Broker) -> list[str]:
    """TCP connections of this very process to the broker."""
    port = int(broker.url.rpartition(":")[2].strip("/").partition("/")[0])
    return [str(one) for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == port]


def test_headers_and_ids_that_are_no_text_are_dead_letters_or_run_and_hurt_nobody(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        assert producer.enqueue(jobs.record, str(log), 0).result(120) == 0
        before = worker.whole_pool()
        body = f'{{"task": "{RECORD}", "args": ["{log}", 7]}}'.encode()
        publish_raw(broker, namespace, body, message_id=b"\xff\xfe")
        publish_raw(broker, namespace, body, headers={b"\xff\xfe": "x"})
        publish_raw(broker, namespace, body, timestamp=2**63)
        assert producer.enqueue(jobs.record, str(log), 1).result(120) == 1
        eventually(lambda: begun(log).count(7) + len(dead_letters(broker, namespace)) == 3)
        assert worker.metric("warren_broker_reconnects_total") == 0
        assert sorted(worker.pool_pids()) == before


def test_a_worker_whose_module_hangs_while_it_is_imported_stops_when_it_is_told(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    with WorkerProcess(broker.url, namespace, log, "tests.faults.hanging", grace_period=1) as worker:
        eventually(lambda: worker.children_count() >= 2)
        worker.terminate()
        assert worker.wait() == 0


def test_a_module_that_cannot_be_imported_is_one_line_and_a_failure(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    with WorkerProcess(broker.url, namespace, log, "no.such.module") as worker:
        assert worker.wait() == 1
        assert "cannot load the tasks: ModuleNotFoundError: No module named 'no'" in log.read_text()
        assert "Traceback" not in log.read_text()
