"""Publishing jobs without ever lying: confirmed within the deadline, or a typed error.

The quick way, for what has all that it needs; what has not, was refused or is of unknown fate goes the careful way.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from warren.amqp.seam import AmqpError
from warren.errors import PublishError
from warren.events import Events, JobEnqueued, JobsEnqueued
from warren.producer.careful import Careful
from warren.producer.core import Outgoing
from warren.producer.deadlines import Deadlines, Watched
from warren.producer.gathering import Gathering
from warren.producer.link import Link, Session
from warren.producer.runs import AHEAD, Composed, failures, how_many, together


class _NotSent(AmqpError):
    """Something is missing that must be there first."""


@dataclass(slots=True, eq=False)
class _Sent:
    """Jobs that were sent together and are not concluded yet; without `watched` they could not be sent."""

    jobs: Sequence[Outgoing]
    started: float
    watched: Watched | None = None
    session: Session | None = None


class Publisher:
    """Sends jobs over a link; on its loop."""

    def __init__(self, link: Link, events: Events) -> None:
        self.link = link
        self._events = events
        self.careful = Careful(link, lambda outgoing, started: self.enqueued((outgoing,), started))
        self._deadlines = Deadlines(link.settings.publish_timeout)
        self._gathering = Gathering(self._start, self._confirmed)
        self._sending_many = asyncio.Lock()  # jobs arrive in the order they are enqueued in

    async def send(self, outgoing: Outgoing) -> None:
        """Publish one job: confirmed when this returns.

        Raises:
            PublishError: one of its kinds, within the deadline.
            TopologyMismatch: what must be declared exists with other arguments.
        """
        if self._gathering.goes_alone():
            await self._conclude(self._start((outgoing,)))
            return
        started = time.monotonic()
        try:
            await self._gathering.send(outgoing)
        except AmqpError as error:
            await self.careful.recover(outgoing, started, error)

    async def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined: all confirmed when this returns.

        Raises:
            PublishError: as `send`; a note on it says how many were confirmed.
        """
        waiting: deque[_Sent] = deque()
        begun, composed = 0, Composed(outgoing)
        try:
            async with self._sending_many:
                for jobs in together(composed):
                    await self._begin(jobs, waiting)
                    begun += len(jobs)
                    await self._conclude_oldest(waiting, AHEAD)
            await self._conclude_oldest(waiting, 0)
        except PublishError as error:
            error.add_note(how_many(begun - sum(len(sent.jobs) for sent in waiting)))
            raise
        finally:
            for left in waiting:
                if left.watched is not None:
                    left.watched.future.cancel()
        composed.check()

    async def send_run(self, jobs: Sequence[Outgoing]) -> None:
        """Publish jobs of one address; as `send_many`, without its note."""
        waiting: deque[_Sent] = deque()
        async with self._sending_many:
            await self._begin(jobs, waiting)
            await self._conclude_oldest(waiting, 0)

    def ready(self, outgoing: Outgoing) -> Session | None:
        """Return the session, where all is there that a job needs; in any thread."""
        session = self.link.session
        if session is None or not session.alive:
            return None
        declared = session.declared
        has_all = "exchanges" in declared and f"queue {outgoing.queue!r}" in declared
        return session if has_all and (not outgoing.delayed or "delays" in declared) else None

    def enqueued(self, jobs: Sequence[Outgoing], started: float) -> None:
        """Tell of jobs that were confirmed together; in any thread."""
        seconds = time.monotonic() - started
        if len(jobs) == 1:
            self._events.emit(JobEnqueued(jobs[0].id, jobs[0].task, jobs[0].queue, seconds))
        else:
            for task, count in Counter([job.kind.task for job in jobs]).items():
                self._events.emit(JobsEnqueued(task, jobs[0].queue, count, seconds))

    def close(self) -> None:
        """Give up what is in flight; whoever waits for it is told."""
        self._deadlines.cancel_all()

    def _start(self, jobs: Sequence[Outgoing]) -> _Sent:
        """Send to one address without waiting for the confirm, where all that the jobs need is there."""
        session = self.ready(jobs[0])
        if session is None:
            return _Sent(jobs, time.monotonic())
        sent = session.publish([job.letter for job in jobs], *jobs[0].address(self.link.names, time.time()))
        return _Sent(jobs, time.monotonic(), self._deadlines.watch(sent), session)

    async def _begin(self, jobs: Sequence[Outgoing], waiting: deque[_Sent]) -> None:
        """Send jobs of one address; where something is missing, the first with care, as the others need what it makes."""
        if self.ready(jobs[0]) is None:
            await self._conclude(self._start(jobs[:1]))
            jobs = jobs[1:]
        if jobs:
            waiting.append(self._start(jobs))
        await asyncio.sleep(0)  # others have their turn

    async def _conclude_oldest(self, waiting: deque[_Sent], keep: int) -> None:
        while len(waiting) > keep:
            await self._conclude(waiting[0])
            waiting.popleft()

    async def _conclude(self, sent: _Sent) -> None:
        """See to it that all are confirmed."""
        try:
            await self._confirmed(sent)
        except AmqpError as error:
            for place, why in failures(error, len(sent.jobs)).items():
                await self.careful.recover(sent.jobs[place], sent.started, why)

    async def _confirmed(self, sent: _Sent) -> None:
        """Wait for the confirms.

        Raises:
            AmqpError: for `failures` to tell apart.
        """
        jobs = sent.jobs
        try:
            if sent.watched is None or sent.session is None:
                raise _NotSent
            try:
                await sent.watched.confirmed()
            except TimeoutError:
                raise sent.session.give_up(sent.watched.future) from None
        except AmqpError as error:
            failed = failures(error, len(jobs))
            self.enqueued([job for place, job in enumerate(jobs) if place not in failed], sent.started)
            raise
        self.enqueued(jobs, sent.started)
