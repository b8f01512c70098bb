"""A paused queue: nothing is taken from it, by the workers there are and by those that come, until it is resumed."""

import asyncio
from pathlib import Path

from tests.console.executable import Warren
from tests.faults import jobs
from tests.faults.workers import Gate, begun, running_worker
from tests.support import Broker, eventually

from warren.producer import Producer


def test_a_paused_queue_stays_so_over_a_restart_what_runs_finishes_and_other_queues_go_on(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    warren = Warren(url=broker.url, management_url=broker.management_url, namespace=namespace)
    slow, other = jobs.record.options(queue="slow"), jobs.record.options(queue="other")
    with Producer(url=broker.url, namespace=namespace) as producer:
        with running_worker(broker.url, namespace, tmp_path, processes=2, queues=["slow", "other"]) as worker:
            assert worker.metric("warren_queue_paused", queue="slow") == 0
            running = producer.enqueue(slow, str(log), 0, until=gate.path)
            eventually(lambda: begun(log) == [0])
            assert warren.json("queues", "pause", "slow") == [{"queue": "slow", "paused": True, "changed": True}]
            eventually(lambda: worker.metric("warren_queue_paused", queue="slow") == 1)
            waiting = [producer.enqueue(slow, str(log), number) for number in range(1, 4)]
            assert producer.enqueue(other, str(log), 10).result(60) == 10
            gate.open()
            assert running.result(60) == 0
            assert producer.enqueue(other, str(log), 11).result(60) == 11
            worker.terminate()
            assert worker.wait() == 0
        (line,) = warren.json("queues", "slow")["queues"]
        assert (line["ready"], line["paused"]) == (3, True)
        with running_worker(broker.url, namespace, tmp_path, processes=2, queues=["slow", "other"]) as worker:
            assert worker.metric("warren_queue_paused", queue="slow") == 1
            assert worker.metric("warren_queue_paused", queue="other") == 0
            assert producer.enqueue(other, str(log), 12).result(60) == 12
            assert begun(log) == [0, 10, 11, 12]
            assert warren.ok("queues", "resume", "slow") == "slow  resumed\n"
            assert [handle.result(60) for handle in waiting] == [1, 2, 3]
            assert worker.metric("warren_queue_paused", queue="slow") == 0


def test_very_short_jobs_that_were_read_ahead_go_back_when_their_queue_is_paused(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    warren = Warren(url=broker.url, management_url=broker.management_url, namespace=namespace)
    with (
        Producer(url=broker.url, namespace=namespace) as producer,
        running_worker(broker.url, namespace, tmp_path, processes=1) as worker,
    ):
        for number in range(30):  # so that it expects very short jobs
            producer.enqueue(jobs.record, str(log), number).result(60)
        producer.enqueue(jobs.record, str(log), 100, until=gate.path)
        eventually(lambda: 100 in begun(log))
        for number in range(101, 110):
            producer.enqueue(jobs.record, str(log), number)
        warren.ok("queues", "pause", "default")
        eventually(lambda: worker.metric("warren_queue_paused", queue="default") == 1)
        eventually(lambda: warren.json("queues", "default")["queues"][0]["ready"] == 9)
        gate.open()
        eventually(lambda: worker.metric("warren_jobs_finished_total") == 31)
        assert begun(log)[-1] == 100
        warren.ok("queues", "resume", "default")
        eventually(lambda: sorted(begun(log)[-9:]) == list(range(101, 110)))


def test_a_worker_without_the_right_to_hear_commands_works_and_says_so(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    """Here the control exchange is missing where nobody may declare it, as after an update before `topology apply`."""
    from warren.amqp.engines import connect_any
    from warren.topology import Exchange, Names, Queue, everything

    names = Names(namespace)

    async def declare_all_else() -> None:
        connection = await connect_any((broker.url,), "pika", name="test", heartbeat=30, timeout=30)
        for item in everything(names, ("default",)):
            missing = isinstance(item, Exchange | Queue) and item.name == names.control
            if not missing and getattr(item, "source", "") != names.control:
                await connection.declare(item)
        await connection.close()

    asyncio.run(declare_all_else())
    with (
        running_worker(broker.url, namespace, tmp_path, declare="false") as worker,
        Producer(url=broker.url, namespace=namespace, declare=False) as producer,
    ):
        assert producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(60) == 1
        (said,) = worker.lines("cannot hear commands: cancellations and pauses do not reach this worker")
        assert "NOT_FOUND" in said["reason"]
