"""What both producers share and what does no I/O: calls to messages, results to values."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from warren import delay, result
from warren.amqp.seam import Copy, Form, Letter, Message
from warren.codec import NotDecodable, decode
from warren.errors import JobCancelled, JobExpired, JobFailed, NoResult, PayloadTooLarge, UsageError
from warren.job import ENQUEUED_AT, Body, Job, encode_body, from_message, new_id, to_message
from warren.options import in_seconds
from warren.producer.inbox import Known
from warren.signature import Arguments
from warren.states import JobState
from warren.task import Call, NamedTask, Task
from warren.topology import WORKFLOW_JOB, Names

T = TypeVar("T")
AnyTask = Task[Any, Any] | NamedTask
_KINDS = 256
"""Kept at most; `task.options(...)` makes a new task each time."""


class Kind(msgspec.Struct, frozen=True, eq=False):
    """What all jobs of a task have in common that this producer enqueues.

    Attributes:
        form: for those that are ready at once and never expire.
    """

    task: str
    queue: str
    reply_to: str | None
    wants_result: bool
    result_type: Any
    form: Form


class Outgoing(msgspec.Struct, frozen=True, eq=False):
    """A job ready to be published."""

    kind: Kind
    id: str
    enqueued_at: float
    ready_at: float
    letter: Letter
    delayed: bool = False
    items: int = 0
    """How many a chunk has."""

    @property
    def task(self) -> str:
        return self.kind.task

    @property
    def queue(self) -> str:
        return self.kind.queue

    @property
    def reply_to(self) -> str | None:
        return self.kind.reply_to

    @property
    def wants_result(self) -> bool:
        return self.kind.wants_result

    @property
    def message(self) -> Message:
        return self.letter.message() if isinstance(self.letter, Copy) else self.letter

    @property
    def job(self) -> Job:
        """What a worker will read from it."""
        return from_message(self.message, self.queue, self.enqueued_at)

    def address(self, names: Names, now: float) -> tuple[str, str]:
        """Return the exchange and routing key for being published now: what is left of a delay, not what it was."""
        wait = self.ready_at - now if self.delayed else 0.0
        return delay.route(names, self.queue, wait) if wait > 0 else (names.jobs, self.queue)


class Composer:
    """Makes outgoing jobs for one namespace, in any thread.

    Args:
        names: of the namespace.
        reply_to: routing key under which this producer hears of results.
        payload_limit: bytes.
    """

    def __init__(self, names: Names, reply_to: str, payload_limit: int) -> None:
        self._names = names
        self._reply_to = reply_to
        self._payload_limit = payload_limit
        self._kinds: dict[int, tuple[AnyTask, Kind]] = {}

    def call(self, call: Call[Any], now: float) -> Outgoing:
        """Return the job of a bound call."""
        return self.job(call.task, call.arguments, now)

    def job(self, task: AnyTask, arguments: Arguments, now: float) -> Outgoing:
        """Return the job of a task with its arguments."""
        return self._compose(Body(task.name, list(arguments.args), dict(arguments.kwargs)), task, now)

    def chunks(
        self, task: AnyTask, items: Iterable[Any], size: int, kwargs: Mapping[str, Any], now: float
    ) -> Iterator[Outgoing]:
        """Return one job for every `size` items, lazily."""
        for body in bodies(task, items, size, kwargs):
            yield self._compose(body, task, now, len(body.items or ()))

    def part(self, task: AnyTask, body: Body, place: tuple[str, str, str], now: float) -> Outgoing:
        """Return the job of a chunk that belongs to a workflow.

        Args:
            task: of the map.
            body: the chunk.
            place: the job's id, the workflow's, and what stands for the node.
            now: seconds since the epoch.
        """
        expires, deadline = in_seconds(task.settings.expires), in_seconds(task.settings.deadline)
        wait = task.settings.delay_seconds(now)
        job = replace(
            self._sample(task),
            id=place[0],
            workflow=place[1],
            node=place[2],
            body=body,
            reply_to=WORKFLOW_JOB,
            wants_result=True,
            enqueued_at=now,
            ready_at=now + wait,
            first_ready_at=now + wait,
            expires_at=None if expires is None else now + wait + expires,
            deadline_at=None if deadline is None else now + wait + deadline,
        )
        return self._address(job, _kind(job, Any), wait, len(body.items or ()))

    def again(self, job: Job, now: float) -> Outgoing:
        """Return a job that exists already, to be published anew to its queue."""
        job = replace(job, ready_at=now, first_ready_at=now)
        return self._address(job, _kind(job, Any), 0.0)

    def given(self, job: Job, now: float) -> Outgoing:
        """Return a job that somebody else has made, to be published when it is ready to run.

        Raises:
            PayloadTooLarge, DelayTooLong: it cannot be.
        """
        return self._address(job, _kind(job, Any), max(0.0, job.ready_at - now))

    def _compose(self, body: Body, task: AnyTask, now: float, items: int = 0) -> Outgoing:
        known = self._kinds.get(id(task))
        kind = known[1] if known is not None else self._learn(task)
        options = task.settings
        if options.delay is None and options.at is None and options.expires is None and options.deadline is None:
            written = self._written(body)
            name = new_id(now)
            copy = Copy(kind.form, name, round(now * 1000), written)
            return Outgoing(kind, name, now, now, copy, False, items)
        wait = options.delay_seconds(now)
        expires, deadline = in_seconds(options.expires), in_seconds(options.deadline)
        job = replace(
            self._sample(task),
            id=new_id(now),
            body=body,
            enqueued_at=now,
            ready_at=now + wait,
            first_ready_at=now + wait,
            expires_at=None if expires is None else now + wait + expires,
            deadline_at=None if deadline is None else now + wait + deadline,
        )
        return self._address(job, kind, wait, items)

    def _learn(self, task: AnyTask) -> Kind:
        """Note what all jobs of a task have in common; by identity, as named tasks are costly to compare."""
        kind = _kind(self._sample(task), task.signature.result)
        if len(self._kinds) >= _KINDS:
            self._kinds.clear()
        self._kinds[id(task)] = task, kind
        return kind

    def _sample(self, task: AnyTask) -> Job:
        options = task.settings
        return Job(
            id="",
            body=Body(task.name),
            queue=options.queue,
            priority=options.priority,
            reply_to=self._reply_to if options.result else None,
            wants_result=options.result,
            limits=task.limits,
        )

    def _written(self, body: Body) -> bytes:
        written = encode_body(body)
        if len(written) > self._payload_limit:
            raise PayloadTooLarge(body.task, len(written), self._payload_limit)
        return written

    def _address(self, job: Job, kind: Kind, wait: float, items: int = 0) -> Outgoing:
        self._written(job.body)
        message = to_message(job)
        if wait > 0:
            delay.check(wait)
            # In a TTL queue of RabbitMQ 4.0 to 4.2 a priority would let later jobs overtake, and delay, earlier ones.
            message = replace(message, priority=None)
        return Outgoing(kind, job.id, job.enqueued_at, job.ready_at, message, wait > 0, items)


def bodies(task: AnyTask, items: Iterable[Any], size: int, kwargs: Mapping[str, Any]) -> Iterator[Body]:
    """Return the bodies of a map's chunks, lazily."""
    if size < 1:
        raise UsageError(f"chunk={size}: a chunk has at least 1 item")
    for chunk in _batched(items, size):
        dumped = [task.signature.dump((item,), kwargs) for item in chunk]
        yield Body(task.name, [], dict(dumped[0].kwargs), [item.args[0] for item in dumped])


def _kind(job: Job, result_type: Any) -> Kind:
    form = Form(to_message(job), ENQUEUED_AT)
    return Kind(job.task, job.queue, job.reply_to, job.wants_result, result_type, form)


def value_of(job: Known, found: result.Result, result_type: Any) -> Any:
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


def check_waitable(job: Known) -> None:
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
