"""What both producers share and what does no I/O: calls to messages, results to values."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from warren import delay, result
from warren.amqp.seam import Message
from warren.codec import NotDecodable, decode
from warren.errors import JobCancelled, JobExpired, JobFailed, NoResult, PayloadTooLarge, UsageError
from warren.job import Body, Job, new_id, to_message
from warren.options import in_seconds
from warren.states import JobState
from warren.task import Call, NamedTask, Task
from warren.topology import Names

T = TypeVar("T")
AnyTask = Task[Any, Any] | NamedTask


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A job ready to be published, and what its result will be rebuilt into."""

    job: Job
    message: Message
    delayed: bool
    result_type: Any

    def address(self, names: Names, now: float) -> tuple[str, str]:
        """Return the exchange and routing key for being published now: what is left of a delay, not what it was."""
        wait = self.job.ready_at - now if self.delayed else 0.0
        return delay.route(names, self.job.queue, wait) if wait > 0 else (names.jobs, self.job.queue)


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes outgoing jobs for one namespace.

    Attributes:
        reply_to: routing key under which this producer hears of results.
        payload_limit: bytes.
    """

    names: Names
    reply_to: str
    payload_limit: int

    def call(self, call: Call[Any], now: float) -> Outgoing:
        """Return the job of a bound call."""
        body = Body(call.task.name, list(call.arguments.args), dict(call.arguments.kwargs))
        return self._compose(body, call.task, now)

    def chunks(
        self, task: AnyTask, items: Iterable[Any], size: int, kwargs: Mapping[str, Any], now: float
    ) -> Iterator[Outgoing]:
        """Return one job for every `size` items, lazily."""
        if size < 1:
            raise UsageError(f"chunk={size}: a chunk has at least 1 item")
        for chunk in _batched(items, size):
            dumped = [task.signature.dump((item,), kwargs) for item in chunk]
            body = Body(task.name, [], dict(dumped[0].kwargs), [item.args[0] for item in dumped])
            yield self._compose(body, task, now)

    def again(self, job: Job, now: float) -> Outgoing:
        """Return a job that exists already, to be published anew to its queue."""
        return self._address(replace(job, ready_at=now, first_ready_at=now), 0.0, Any)

    def _compose(self, body: Body, task: AnyTask, now: float) -> Outgoing:
        options = task.settings
        wait = options.delay_seconds(now)
        expires = in_seconds(options.expires)
        job = Job(
            id=new_id(now),
            body=body,
            queue=options.queue,
            enqueued_at=now,
            ready_at=now + wait,
            first_ready_at=now + wait,
            expires_at=None if expires is None else now + wait + expires,
            priority=options.priority,
            reply_to=self.reply_to if options.result else None,
            wants_result=options.result,
            limits=task.limits,
        )
        return self._address(job, wait, task.signature.result)

    def _address(self, job: Job, wait: float, result_type: Any) -> Outgoing:
        message = to_message(job)
        if len(message.body) > self.payload_limit:
            raise PayloadTooLarge(job.task, len(message.body), self.payload_limit)
        if wait <= 0:
            return Outgoing(job, message, delayed=False, result_type=result_type)
        delay.check(wait)
        # In a TTL queue of RabbitMQ 4.0 to 4.2 a priority would let later jobs overtake, and delay, earlier ones.
        return Outgoing(job, replace(message, priority=None), delayed=True, result_type=result_type)


def value_of(job: Job, found: result.Result, result_type: Any) -> Any:
    """Return what the job returned, or raise what became of it.

    Raises:
        JobFailed, JobCancelled, JobExpired: it did not return.
    """
    match found.state:
        case JobState.DONE:
            return rebuilt(job.id, found.value, result_type)
        case JobState.CANCELLED:
            raise JobCancelled(job.id, found.reason)
        case JobState.EXPIRED:
            raise JobExpired(job.id)
        case _:
            raise JobFailed(job.id, found.reason, found.error_type, found.error, found.traceback)


def rebuilt(job_id: str, value: msgspec.Raw, result_type: Any) -> Any:
    """Return a result's JSON in the task's annotated return type.

    Raises:
        JobFailed: the task returned something that does not fit its own annotation.
    """
    try:
        return decode(value, result_type)
    except NotDecodable as error:
        said = f"its result does not fit its return annotation {result_type!r}: {error}"
        raise JobFailed(job_id, "bad_result", "NotDecodable", said, "") from error


def check_waitable(job: Job) -> None:
    """Refuse to wait for what is never published.

    Raises:
        NoResult: the task was declared or called with `result=False`.
    """
    if not job.wants_result:
        raise NoResult(
            f"task {job.task!r} has result=False, so job {job.id} publishes none; remove it to wait for results"
        )


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch
