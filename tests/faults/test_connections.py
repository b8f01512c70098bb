"""Connections that are lost, blocked or idle: everything is rebuilt, nothing runs twice that need not."""

import time
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.faults import jobs
from tests.faults.raw import delete
from tests.faults.workers import WorkerProcess, begun, running_worker, written
from tests.support import Broker, Management, eventually

from warren.console.private_broker import PrivateBroker
from warren.errors import BrokerBlocked, BrokerUnavailable
from warren.producer import Producer

HEARTBEAT = 1


def cut(broker: Broker, name: str) -> int:
    """Close every connection whose name has this in it, as an administrator does; how many there were."""
    management = Management(broker)
    try:
        found = eventually(
            lambda: [
                str(one["name"])
                for one in management.call("GET", "connections")
                if name in str(one.get("client_properties", {}))
            ],
            20,
            f"connections named {name!r} are listed",
        )
        for one in found:
            management.call("DELETE", f"connections/{quote(one)}")
    finally:
        management.close()
    return len(found)


def test_a_job_that_runs_while_its_connection_is_lost_is_not_run_a_second_time(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2, name=namespace) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handles = [producer.enqueue(jobs.record, str(log), number, seconds=7) for number in (1, 2)]
        eventually(lambda: len(begun(log)) == 2)
        assert cut(broker, f"{namespace} consuming") == 1
        eventually(lambda: worker.lines("broker connected again"), 20)
        assert [handle.result(30) for handle in handles] == [1, 2]
        assert sorted(begun(log)) == [1, 2]
        eventually(lambda: worker.metric("warren_jobs_finished_total", outcome="done") == 2)
        assert len(worker.lines("job was delivered again and is not run twice")) == 2
        assert worker.metric("warren_stale_acks_total") >= 1
        assert producer.enqueue(jobs.record, str(log), 3).result(20) == 3
        assert sorted(begun(log)) == [1, 2, 3]


def test_a_queue_that_is_deleted_under_a_worker_is_declared_and_consumed_again(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(20) == 1
        delete(broker, "queues", f"{namespace}.queue.default")
        eventually(lambda: worker.lines("broker connected again"), 20)
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(20) == 2


def test_a_job_that_runs_while_its_queue_is_deleted_keeps_its_outcome(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, cause = tmp_path / "log", tmp_path / "cause"
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        slow = producer.enqueue(jobs.record, str(log), 1, seconds=2)
        retried = producer.enqueue(jobs.fail_slowly_once, str(log), str(cause), seconds=2)
        eventually(lambda: len(written(log)) == 2)
        delete(broker, "queues", f"{namespace}.queue.default")
        assert slow.result(20) == 1
        assert retried.result(20) == 2
        assert begun(log) == [1]
        eventually(lambda: worker.metric("warren_jobs_finished_total", outcome="done") == 2)


def test_idle_for_more_than_three_heartbeats_neither_side_reconnects(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, heartbeat=HEARTBEAT) as worker,
        Producer(url=broker.url, namespace=namespace, heartbeat=HEARTBEAT) as producer,
    ):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(20) == 1
        connected = producer._host.client._link.session
        time.sleep(HEARTBEAT * 4)  # being idle for that long is what is tested
        assert worker.get("/readyz") == (200, "ok\n")
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(20) == 2
        assert producer._host.client._link.session is connected
        assert worker.metric("warren_broker_reconnects_total") == 0


def test_a_broker_that_is_away_makes_the_worker_unready_but_alive_and_work_goes_on_when_it_is_back(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(own_broker.url, namespace, tmp_path) as worker,
        Producer(url=own_broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(20) == 1
        own_broker.stop()
        eventually(lambda: worker.get("/readyz")[0] == 503, 20)
        assert worker.get("/livez") == (200, "ok\n")
        with pytest.raises(BrokerUnavailable) as caught:
            Producer(url=own_broker.url, namespace=namespace, publish_timeout=1).enqueue(jobs.count, "x")
        assert not caught.value.unknown
        own_broker.start()
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 2).result(60) == 2
        eventually(lambda: worker.get("/readyz")[0] == 200, 20)


def test_a_memory_alarm_is_a_typed_error_within_the_deadline_and_passes(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(own_broker.url, namespace, tmp_path) as worker,
        Producer(url=own_broker.url, namespace=namespace, publish_timeout=2) as producer,
    ):
        assert producer.enqueue(jobs.record, str(log), 1).result(20) == 1
        slow = producer.enqueue(jobs.record, str(log), 2, seconds=2)
        eventually(lambda: begun(log) == [1, 2])
        own_broker.ctl("set_vm_memory_high_watermark", "0.00001")
        try:
            with pytest.raises(BrokerBlocked) as caught:
                producer.enqueue(jobs.count, "tea")
            assert caught.value.unknown
            eventually(lambda: worker.lines("cannot publish an outcome yet, trying again; the job stays unacked"), 30)
        finally:
            own_broker.ctl("set_vm_memory_high_watermark", "0.4")
        assert slow.result(30) == 2
        assert begun(log) == [1, 2]


def test_a_worker_started_before_its_broker_waits_for_it(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    own_broker.kill()
    log = tmp_path / "early.log"
    log.touch()
    with WorkerProcess(own_broker.url, namespace, log) as worker:
        eventually(lambda: worker.lines("broker connection lost, rebuilding it"), 20)
        own_broker.start()
        worker.wait_ready(60)
        with Producer(url=own_broker.url, namespace=namespace) as producer:
            assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(20) == 1
