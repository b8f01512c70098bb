"""The client library without a job queue: the most that Python can ask of the broker, in the same run."""

import json
from collections.abc import Sequence

import pika
from benchmarks.pipeline import Pipeline
from benchmarks.site import Site
from benchmarks.systems.system import Arguments, Command, Portrait, module


class Bare:
    """`BlockingConnection` with confirms; `SelectConnection` with pipelined ones; a consumer that only acknowledges."""

    portrait = Portrait(
        "bare",
        ("pika",),
        "quorum queue; BlockingConnection, each confirmed; SelectConnection, 500 unconfirmed; an AsyncioConnection with one "
        "consumer of prefetch 1 for each of 2 processes, which acknowledges at once and runs nothing; and such a one with a "
        "process behind each consumer, which runs the job before it is acknowledged",
    )

    def __init__(self, site: Site) -> None:
        self._site = site
        self._properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")  # type: ignore[no-untyped-call]

    def worker(self) -> Command:
        return Command(module("benchmarks.systems.bare_worker"), self._site.environ())

    def queue(self) -> str:
        return f"{self._site.space}.bare"

    def open(self) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(self._site.url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._channel.queue_declare(self.queue(), durable=True, arguments={"x-queue-type": self._site.queue_type})

    def enqueue(self, job: str, arguments: Arguments) -> None:
        self._channel.basic_publish("", self.queue(), _body(job, arguments), self._properties, mandatory=True)

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        Pipeline(self._site.url, self.queue(), ((_body(job, arguments), self._properties) for arguments in calls)).run()

    def close(self) -> None:
        self._connection.close()


class BareProcesses(Bare):
    """The consumer with a process behind it for each job that it holds."""

    def worker(self) -> Command:
        return Command(module("benchmarks.systems.bare_processes"), self._site.environ())


def _body(job: str, arguments: Arguments) -> bytes:
    return json.dumps({"task": job, "args": arguments, "kwargs": {}}).encode()
