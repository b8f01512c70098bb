"""Very short jobs are read ahead; long ones never wait in a worker while another could run them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
from tests.faults import jobs
from tests.faults.raw import dead_letters
from tests.faults.workers import Gate, begun, running_worker, worker_and_producer, written
from tests.support import Broker, eventually

from warren.producer import Producer
from warren.topology import Names

SHORT, LONG = 400, 40
ROUNDS = 10


Counts = Callable[[], tuple[int, int]]


@contextmanager
def counting(broker: Broker, namespace: str) -> Iterator[Counts]:
    """A function that asks how many messages of the queue are ready, and how many consumers it has."""
    name = Names(namespace).queue("default")

    def counts() -> tuple[int, int]:
        counted = channel.queue_declare(name, passive=True).method
        return counted.message_count, counted.consumer_count

    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        channel = connection.channel()
        yield counts
    finally:
        connection.close()


def _reads_ahead(producer: Producer, log: Path, total: int, counts: Counts) -> bool:
    """Have so many more short jobs run that there were `total`; whether the worker has consumers for more than it runs."""
    producer.enqueue_many(jobs.record_quietly.call(str(log), number) for number in range(SHORT))
    eventually(lambda: len(written(log)) == total, message="the short ones have run")
    return counts()[1] > 2


def test_long_jobs_after_short_ones_are_left_to_other_workers(broker: Broker, namespace: str, tmp_path: Path) -> None:
    short, long, gate = tmp_path / "short", tmp_path / "long", Gate(tmp_path)
    with (
        worker_and_producer(broker, namespace, tmp_path, processes=2) as (_, producer),
        counting(broker, namespace) as counts,
    ):
        assert counts() == (0, 2)
        # A busy machine may keep a job waiting, and the worker reads less ahead: then it is given more to be sure by.
        rounds = range(1, ROUNDS + 1)
        assert any(_reads_ahead(producer, short, number * SHORT, counts) for number in rounds), "it reads ahead"
        handles = producer.enqueue_many(jobs.record.call(str(long), number, until=gate.path) for number in range(LONG))
        eventually(lambda: counts() == (LONG - 2, 2), message="what it cannot start is in the queue again")
        with running_worker(broker.url, namespace, tmp_path, processes=2):
            eventually(lambda: len(begun(long)) == 4, message="the other worker runs two of them")
            gate.open()
            assert [handle.result(120) for handle in handles] == list(range(LONG))
            # Before it is killed: that can take an ack along, and then a job comes again.
            assert sorted(begun(long)) == list(range(LONG)), "none ran twice"
        assert dead_letters(broker, namespace) == []


def test_read_ahead_can_be_turned_off(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        worker_and_producer(broker, namespace, tmp_path, processes=2, read_ahead=0) as (_, producer),
        counting(broker, namespace) as counts,
    ):
        producer.enqueue_many(jobs.record_quietly.call(str(log), number) for number in range(SHORT))
        eventually(lambda: len(written(log)) == SHORT)
        assert counts() == (0, 2)
