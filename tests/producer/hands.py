"""A worker by hand: it consumes a queue of the in-memory broker and answers each job as the test says."""

import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec

from warren import result, topology
from warren.amqp import memory
from warren.amqp.seam import Delivery, Message, Settle
from warren.job import Body, Job, from_message
from warren.producer import Producer
from warren.producer.io_thread import IoThread
from warren.result import ItemFailure, Result
from warren.settings import Settings
from warren.states import JobState
from warren.task import task
from warren.topology import Names

NAMES = Names()
NOW = 1_700_000_000.0


@task
def double(number: int, by: int = 2) -> int:
    return number * by


@task
async def later(text: str) -> str:
    return text


@task(result=False)
def silent(text: str) -> None: ...


def settings(broker: str, **changes: Any) -> Settings:
    return msgspec.structs.replace(Settings(url=f"memory://{broker}", publish_timeout=30.0), **changes)


def new_broker() -> str:
    return uuid.uuid4().hex


def done(job: Job, value: object) -> Result:
    """Return what a worker publishes of a job that returned."""
    raw = msgspec.Raw(msgspec.json.encode(value))
    return Result(job.id, job.task, job.queue, JobState.DONE, job.attempt, NOW, value=raw)


def ended(job: Job, state: JobState, **more: Any) -> Result:
    return Result(job.id, job.task, job.queue, state, job.attempt, NOW, **more)


def doubled(job: Job) -> Result:
    """Do what `double` does; an item below nothing fails."""
    by = msgspec.json.decode(job.body.kwargs.get("by", msgspec.Raw(b"2")))
    if job.body.items is None:
        return done(job, msgspec.json.decode(job.body.args[0]) * by)
    numbers = {place: msgspec.json.decode(item) for place, item in enumerate(job.body.items)}
    items = {place: msgspec.Raw(b"%d" % (one * by)) for place, one in numbers.items() if one >= 0}
    failed = {place: ItemFailure("below nothing", "ValueError") for place, one in numbers.items() if one < 0}
    return ended(job, JobState.DEAD if failed else JobState.DONE, items=items, failed=failed)


def job_of(job_id: str, reply_to: str | None = None) -> Job:
    return Job(job_id, Body("m:f"), "default", reply_to=reply_to)


class Hands:
    """Answers jobs of one queue, on a thread of its own; keeps the messages as they came."""

    def __init__(self, broker: str, answer: Callable[[Job], Result | None] = doubled, queue: str = "default") -> None:
        self.messages: list[Message] = []
        self.jobs: list[Job] = []
        self._url, self._answer, self._queue = f"memory://{broker}", answer, queue
        self._changed = threading.Condition()
        self._io = IoThread("hands")

    def __enter__(self) -> Self:
        self._io.call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._io.call(self._connection.close())
        self._io.stop()

    def took(self, count: int) -> list[Job]:
        """Wait until so many jobs were taken; return all of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.jobs) >= count, timeout=60)
            return self.jobs[:]

    def publish(self, told: Result, job: Job) -> None:
        """Publish a result now."""
        self._io.call(self._publish(told, job))

    async def _publish(self, told: Result, job: Job) -> None:
        message, key = result.to_message(told, job)
        await self._connection.publish(message, NAMES.results, key, mandatory=False)

    async def _open(self) -> None:
        connection = self._connection = await memory.connect(self._url)
        await connection.declare(*topology.base(NAMES), *topology.work_queue(NAMES, self._queue))
        await connection.consume(NAMES.queue(self._queue), self._take, prefetch=50)

    def _take(self, delivery: Delivery) -> None:
        job = from_message(delivery.message, self._queue, NOW)
        told = self._answer(job)
        if told is not None:
            message, key = result.to_message(told, job)
            self._connection.publish(message, NAMES.results, key, mandatory=False)
        self._connection.settle(delivery, Settle.ACK)
        with self._changed:
            self.messages.append(delivery.message)
            self.jobs.append(job)
            self._changed.notify_all()


def nothing(job: Job) -> None:
    """Take a job and say nothing of it."""


def published_while_away(broker: str, told: Result, job: Job) -> None:
    """Restart the broker, and have a result published before anybody is connected again."""
    message, key = result.to_message(told, job)
    with memory._hub(broker).working() as inside:
        inside.end_all("320 CONNECTION_FORCED - broker restarted")
        inside.flow.publish(message, NAMES.results, key, mandatory=False)


def sessions(producer: Producer) -> object:
    """Return what stays the same as long as a producer has not reconnected."""
    return producer._host.client._link.session
