"""Single crash points that the larger tests do not single out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults import jobs
from tests.faults.workers import ROOT, Gate, running_worker, worker_and_producer, written
from tests.support import Broker, eventually, eventually_on_disk

from warren.console.private_broker import PrivateBroker
from warren.producer import Producer

PRODUCER = """
import sys
from tests.faults import jobs
from warren.producer import Producer

url, namespace, log = sys.argv[1:]
with Producer(url=url, namespace=namespace) as producer:
    for number in range(100_000):
        producer.enqueue(jobs.record_quietly, log, number)
        print(number, flush=True)
"""


def test_a_producer_that_is_killed_has_lost_nothing_that_it_was_told_is_enqueued(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PRODUCER, broker.url, namespace, str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        confirmed = {int(process.stdout.readline()) for _ in range(300)}
        process.kill()
        confirmed |= {int(line) for line in process.stdout if line.endswith("\n")}
    with running_worker(broker.url, namespace, tmp_path):
        eventually(lambda: confirmed <= {line["number"] for line in written(log)})
        done = [line["number"] for line in written(log)]
    assert len(done) == len(set(done))
    assert set(done) - confirmed <= {max(confirmed) + 1}, "at most the one whose confirm it did not live to see"


def test_a_delay_that_ends_while_the_broker_is_down_goes_on_when_it_is_back_and_is_not_early(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker_and_producer(own_broker, namespace, tmp_path) as (worker, producer):
        # All levels are entered once, so that each is known on disk before the kill.
        assert producer.enqueue(jobs.record.options(delay=3.1), str(log), 0).result(120) == 0
        levels = [f"{namespace}.delay.{level:02d}" for level in range(29)]
        eventually_on_disk(own_broker.folder, f"{namespace}.queue.default", *levels)
        handle = producer.enqueue(jobs.record.options(delay=3.1), str(log), 1)
        own_broker.kill()
        eventually(lambda: time.time() > handle.due)
        own_broker.start()
        assert handle.result(120) == 1
        assert worker.process.poll() is None
    (begun,) = [line["at"] for line in written(log) if line.get("begins") and line["number"] == 1]
    assert begun >= handle.due


@pytest.mark.parametrize("queues", [["default"], ["default=2", "other"]], ids=["one queue", "two"])
def test_a_job_longer_than_the_brokers_consumer_timeout_runs_on_and_is_not_run_again_by_the_same_worker(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path, queues: list[str]
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    own_broker.ctl("eval", "application:set_env(rabbit, consumer_timeout, 4000).")
    # RabbitMQ before 4.3 looks every minute.
    own_broker.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 1000).")
    try:
        with worker_and_producer(own_broker, namespace, tmp_path, processes=1, queues=queues) as (worker, producer):
            handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
            eventually(lambda: worker.lines("broker connection lost, rebuilding it"))
            eventually(lambda: worker.lines("broker connected again"))
            gate.open()
            assert handle.result(120) == 1
            assert [line["attempt"] for line in written(log) if line.get("begins")] == [1]
            assert producer.enqueue(jobs.record, str(log), 2).result(120) == 2
    finally:
        own_broker.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")


def test_a_job_delivered_to_a_worker_that_dies_before_it_begins_is_run_by_another(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        Producer(url=broker.url, namespace=namespace) as producer,
        running_worker(broker.url, namespace, tmp_path, processes=1) as first,
    ):
        (only,) = eventually(first.pool_pids)
        os.kill(only, signal.SIGSTOP)  # it will be given the job, and never begin it
        handle = producer.enqueue(jobs.record, str(log), 1)
        eventually(lambda: first.lines("job started"))
        first.kill()
        assert not written(log)
        with running_worker(broker.url, namespace, tmp_path):
            assert handle.result(120) == 1
    assert [line["attempt"] for line in written(log) if line.get("begins")] == [1]
