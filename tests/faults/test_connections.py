"""Connections that are lost, blocked or idle: everything is rebuilt, nothing runs twice that need not."""

import time
from pathlib import Path

import pytest
from tests.faults import jobs
from tests.faults.raw import cut, delete
from tests.faults.workers import Gate, WorkerProcess, begun, memory_alarm, running_worker, worker_and_producer, written
from tests.support import Broker, eventually

from warren.console.private_broker import PrivateBroker
from warren.errors import BrokerBlocked, BrokerUnavailable
from warren.producer import Producer

HEARTBEAT = 2


def test_a_job_that_runs_while_its_connection_is_lost_is_not_run_a_second_time(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=2, name=namespace) as (worker, producer):
        handles = [producer.enqueue(jobs.record, str(log), number, until=gate.path) for number in (1, 2)]
        eventually(lambda: len(begun(log)) == 2)
        assert cut(broker, f"{namespace} consuming") == 1
        eventually(lambda: worker.lines("broker connected again"))
        gate.open()
        assert [handle.result(120) for handle in handles] == [1, 2]
        assert sorted(begun(log)) == [1, 2]
        eventually(lambda: worker.metric("warren_jobs_finished_total", outcome="done") == 2)
        assert len(worker.lines("job was delivered again and is not run twice")) == 2
        assert worker.metric("warren_stale_acks_total") >= 1
        assert producer.enqueue(jobs.record, str(log), 3).result(120) == 3
        assert sorted(begun(log)) == [1, 2, 3]


def test_a_queue_that_is_deleted_under_a_worker_is_declared_and_consumed_again(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(120) == 1
        delete(broker, "queues", f"{namespace}.queue.default")
        eventually(lambda: worker.lines("broker connected again"))
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(120) == 2


def test_a_job_that_runs_while_its_queue_is_deleted_keeps_its_outcome(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=2) as (worker, producer):
        slow = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        retried = producer.enqueue(jobs.fail_once, str(log), until=gate.path)
        eventually(lambda: len(written(log)) == 2)
        delete(broker, "queues", f"{namespace}.queue.default")
        eventually(lambda: worker.lines("broker connected again"))
        gate.open()
        assert slow.result(120) == 1
        assert retried.result(120) == 2
        assert begun(log) == [1]
        eventually(lambda: worker.metric("warren_jobs_finished_total", outcome="done") == 2)


def test_idle_for_more_than_three_heartbeats_neither_side_reconnects(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, heartbeat=HEARTBEAT) as worker,
        Producer(url=broker.url, namespace=namespace, heartbeat=HEARTBEAT) as producer,
    ):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(120) == 1
        connected = producer._host.client._link.session
        time.sleep(HEARTBEAT * 3.5)  # being idle for that long is what is tested
        assert worker.get("/readyz") == (200, "ok\n")
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(120) == 2
        assert producer._host.client._link.session is connected
        assert worker.metric("warren_broker_reconnects_total") == 0


def test_a_broker_that_is_away_makes_the_worker_unready_but_alive_and_work_goes_on_when_it_is_back(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(own_broker, namespace, tmp_path) as (worker, producer):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(120) == 1
        own_broker.stop()
        eventually(lambda: worker.get("/readyz")[0] == 503)
        assert worker.get("/livez") == (200, "ok\n")
        with pytest.raises(BrokerUnavailable) as caught:
            Producer(url=own_broker.url, namespace=namespace, publish_timeout=1).enqueue(jobs.count, "x")
        assert not caught.value.unknown
        own_broker.start()
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(120) == 2
        eventually(lambda: worker.get("/readyz")[0] == 200)


def test_a_memory_alarm_is_a_typed_error_within_the_deadline_and_passes(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with (
        worker_and_producer(own_broker, namespace, tmp_path, name=namespace, publish_timeout=1) as (worker, producer),
        Producer(url=own_broker.url, namespace=namespace, publish_timeout=3) as hasty,
    ):
        assert producer.enqueue(jobs.record, str(log), 1).result(120) == 1
        slow = producer.enqueue(jobs.record, str(log), 2, until=gate.path)
        eventually(lambda: begun(log) == [1, 2])
        with memory_alarm(own_broker, namespace):
            with pytest.raises(BrokerBlocked) as caught:
                hasty.enqueue(jobs.count, "tea")
            assert caught.value.unknown
            gate.open()
            eventually(lambda: worker.lines("cannot publish an outcome yet, trying again; the job stays unacked"))
        assert slow.result(120) == 2
        assert begun(log) == [1, 2]


def test_a_worker_started_before_its_broker_waits_for_it(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    own_broker.kill()
    log = tmp_path / "early.log"
    log.touch()
    with WorkerProcess(own_broker.url, namespace, log) as worker:
        eventually(lambda: worker.lines("broker connection lost, rebuilding it"))
        own_broker.start()
        worker.wait_ready()
        with Producer(url=own_broker.url, namespace=namespace) as producer:
            assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(120) == 1
