"""Cancelling jobs: a tombstone that outlives every restart, what the workers say to it, and what is known from that.

The tombstone is kept by the broker when a call returns, whatever it answers. A job that only waits is met by it when it comes
to a worker, which may be in a year; so whoever waits for its result is told by us, as far as we know that there is such a job.
"""

import asyncio
import enum
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from warren import control, result
from warren.amqp.seam import AmqpError, ConnectionLost
from warren.asking import Asker, publish_until_taken
from warren.control import CancelJobs, CancelTask, Command, Held, NotUnderstood, Reply, ResultsTold
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishRefused, ResultError, WrongUse
from warren.job import Body, Job
from warren.producer.core import AnyTask
from warren.producer.inbox import AnySlot, ChunkSlot, Known
from warren.producer.link import Link, Session, TryAgain, persistently
from warren.producer.listening import Listener
from warren.result import Result
from warren.states import JobState

REASON = "somebody cancelled it"
ANSWER_SECONDS = 1.0
"""So long workers are waited for, unless told otherwise."""


class Cancellation(enum.StrEnum):
    """What became of a job that was to be cancelled."""

    CANCELLED = "cancelled"
    """It waits somewhere, and will not run; no worker that answered runs it."""
    CANCELLING = "cancelling"
    """A worker runs it, and was told to end it."""
    ALREADY_DONE = "already done"
    """It has its final result: done, dead, expired or cancelled before."""
    UNKNOWN = "unknown"
    """Nothing is known of it; should there be such a job, it will not run."""


@dataclass(frozen=True, slots=True)
class TaskCancellation:
    """What became of the jobs of a task that were to be cancelled; those that wait in the broker are dropped as they arrive.

    Attributes:
        before: those enqueued before this moment are cancelled, seconds since the epoch.
        workers: how many answered.
        running: jobs they run, and were told to end.
        withdrawn: jobs that waited in a worker, and have ended.
    """

    before: float
    workers: int
    running: tuple[str, ...]
    withdrawn: tuple[str, ...]


def gathered(replies: Iterable[Reply]) -> Held:
    """Return what all workers together had."""
    found: dict[str, set[str]] = {name: set() for name in Held.__struct_fields__}
    for reply in replies:
        with suppress(NotUnderstood):
            held = reply.read(Held)
            for name, ids in found.items():
                ids.update(getattr(held, name))
    return Held(**{name: tuple(sorted(ids)) for name, ids in found.items()})


def judge(job_id: str, held: Held, *, enqueued: bool, final: JobState | None) -> Cancellation:
    """Return what is known to have become of a job after its tombstone was set, and never more than that.

    Args:
        job_id: which.
        held: what the workers said.
        enqueued: whether we know that there is such a job, whose result would have come to us.
        final: its state, if its final result is known.
    """
    if job_id in held.running:
        return Cancellation.CANCELLING
    if final not in {None, JobState.CANCELLED}:
        return Cancellation.ALREADY_DONE
    if final is JobState.CANCELLED or job_id in held.withdrawn:
        return Cancellation.CANCELLED
    if job_id in held.ended:
        return Cancellation.ALREADY_DONE
    return Cancellation.CANCELLED if enqueued or job_id in held.retried else Cancellation.UNKNOWN


class Canceller:
    """Cancels over a producer's link; on its loop."""

    def __init__(self, link: Link, listener: Listener) -> None:
        self._link = link
        self._listener = listener
        self._asker: tuple[Session, Asker] | None = None

    async def cancel(self, slots: Collection[AnySlot], seconds: float, reason: str) -> dict[str, Cancellation]:
        """Cancel jobs and return what became of each.

        Raises:
            PublishError: the tombstones may not be there.
            WrongUse: an id, or the reason, is no text.
        """
        _check_text(reason, *(slot.job.id for slot in slots))
        best = {slot.job.id: self._best(slot) for slot in slots}
        await self._look_up([slot for slot in best.values() if not slot.complete and not self._is_ours(slot.job)])
        answers = {job_id: Cancellation.ALREADY_DONE for job_id, slot in best.items() if slot.complete}
        left = {job_id: slot for job_id, slot in best.items() if job_id not in answers}
        if not left:
            return answers
        command = CancelJobs(tuple(left), time.time(), reason)
        held = gathered(await self._say(command, seconds, lambda replies: _all_in(left, gathered(replies))))
        # After the tombstones: what has not begun now never will, so that what is found is all there is to know.
        found = await self._look_up([slot for slot in left.values() if self._is_ours(slot.job) and not slot.complete])
        for job_id, slot in left.items():
            known = job_id in found or self._listener.hears(slot)
            final = _final(slot) or found.get(job_id)
            answers[job_id] = judge(job_id, held, enqueued=known and self._is_ours(slot.job), final=final)
        await self._tell(left, answers, held, reason)
        return {job_id: answers[job_id] for job_id in best}

    async def cancel_task(self, task: AnyTask | str, seconds: float, reason: str) -> TaskCancellation:
        """Cancel all jobs of a task that were enqueued before now.

        Raises:
            PublishError: the tombstone may not be there.
            WrongUse: the name, or the reason, is no text.
        """
        name = task if isinstance(task, str) else task.name
        _check_text(reason, name)
        command = CancelTask(name, time.time(), reason)
        replies = await self._say(command, seconds, lambda _: False)
        held = gathered(replies)
        return TaskCancellation(command.at, len(replies), held.running, held.withdrawn)

    def _best(self, slot: AnySlot) -> AnySlot:
        """The slot that knows most of its job: of one asked for by its id we may hold the handle of the enqueuing as well."""
        self._listener.inbox.expect(slot)
        peers = slot.peers.living() if slot.peers is not None else []
        return next((peer for peer in peers if self._is_ours(peer.job)), slot)

    def _is_ours(self, job: Known) -> bool:
        """Whether this producer enqueued it, and its result comes here."""
        return job.wants_result and job.reply_to == self._listener.reply_key

    async def _look_up(self, slots: Sequence[AnySlot]) -> dict[str, JobState | None]:
        """Have the final results of what may have ended without our hearing it; return those jobs' states, where they are known."""
        ids = {slot.job.id for slot in slots if not self._listener.hears(slot)}
        if not ids:
            return {}
        try:
            found = await self._listener.find_all(self._link, ids)
        except ResultError:  # no right to read them, or more of them than can be read in time
            return {}
        for one in found.values():
            self._listener.inbox.put(one)
        return dict.fromkeys(ids) | {job_id: one.state for job_id, one in found.items()}

    async def _say(self, command: Command, seconds: float, enough: Callable[[Sequence[Reply]], bool]) -> list[Reply]:
        limit = self._link.settings.publish_timeout
        try:
            async with asyncio.timeout(limit + seconds):
                return await persistently(lambda: self._say_once(command, seconds, enough))
        except TimeoutError as error:
            session = self._link.session
            if session is not None and session.connection.blocked:
                raise BrokerBlocked(
                    "the broker takes no messages just now (a memory or disk alarm); whether the cancellation is kept is not known",
                    unknown=True,
                ) from error
            raise BrokerUnavailable(
                f"the broker did not confirm the cancellation within {limit:g} s; cancel again, it does no harm twice",
                unknown=True,
            ) from error

    async def _say_once(
        self, command: Command, seconds: float, enough: Callable[[Sequence[Reply]], bool]
    ) -> list[Reply]:
        session = await self._link.open()
        try:
            if self._asker is None or self._asker[0] is not session:
                self._asker = session, await Asker.open(session.connection, self._link.names)
            return await self._asker[1].ask(command, seconds, enough=enough)
        except ConnectionLost as error:
            self._link.last_failure = error
            raise TryAgain from error
        except AmqpError as error:
            raise PublishRefused(
                f"the broker does not take the cancellation: {error}; `warren topology show --permissions` tells which rights "
                "whoever cancels needs, `warren topology apply` declares what is missing"
            ) from error

    async def _tell(
        self, slots: Mapping[str, AnySlot], answers: Mapping[str, Cancellation], held: Held, reason: str
    ) -> None:
        """Tell whoever waits: what no worker has in its hands ends here, and of what we do not know, its producer may."""
        left = set(slots).difference(held.withdrawn)
        ours = [
            slot
            for job_id, slot in slots.items()
            if job_id in left
            and answers[job_id] is Cancellation.CANCELLED
            and _final(slot) is None
            and self._is_ours(slot.job)
        ]
        unknown = [job_id for job_id, answer in answers.items() if answer is Cancellation.UNKNOWN]
        results = [(slot.job, _cancelled(slot.job, reason)) for slot in ours]
        # The tombstones stand; what cannot be told now, a worker tells when it meets them.
        with suppress(AmqpError, TimeoutError):
            async with asyncio.timeout(self._link.settings.publish_timeout):
                await self._publish(results, unknown, reason)
        for _, told in results:
            self._listener.inbox.put(told)

    async def _publish(self, results: Sequence[tuple[Known, Result]], unknown: Sequence[str], reason: str) -> None:
        session, names = await persistently(self._link.open), self._link.names
        connection = session.connection
        sent = [
            publish_until_taken(connection, message, names.results, key)
            for message, key in (result.to_message(told, _job(job)) for job, told in results)
        ]
        if unknown:
            message, key = result.unheld_message(unknown, reason, time.time())
            sent.append(publish_until_taken(connection, message, names.results, key))
        await asyncio.gather(*sent)
        if results:
            # After the results: a worker that dies in between tells them twice rather than never.
            message, key = control.command_message(ResultsTold(tuple(told.id for _, told in results)), time.time())
            await publish_until_taken(connection, message, names.control, key)


def _check_text(*texts: str) -> None:
    """Refuse what cannot be sent: a word of the command line may come from any bytes."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise WrongUse(f"{text!r:.200} cannot be sent: it is no text in UTF-8") from error


def _all_in(ids: Collection[str], held: Held) -> bool:
    return set(ids) <= {*held.running, *held.withdrawn, *held.ended, *held.retried}


def _final(slot: AnySlot) -> JobState | None:
    if isinstance(slot, ChunkSlot):
        return JobState.DONE if slot.complete else None
    return slot.result.state if slot.result is not None else None


def _cancelled(job: Known, reason: str) -> Result:
    return Result(job.id, job.task, job.queue, JobState.CANCELLED, 0, time.time(), reason=reason)


def _job(job: Known) -> Job:
    """As much of a job as a result's message needs."""
    return Job(job.id, Body(job.task), job.queue, reply_to=job.reply_to)
