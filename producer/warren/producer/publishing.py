"""Publishing jobs without ever lying: confirmed within the deadline, or a typed error.

One deadline covers all a publish may need: connecting, declaring, sending, confirming, and all that again when the
connection is lost in between. A publish whose confirm was lost is sent again under the same job id.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from warren import topology
from warren.amqp.seam import AmqpError, ChannelRefused, ConnectionLost, Nacked, Returned
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishError, PublishRefused, Unroutable
from warren.events import Events, JobEnqueued, JobsEnqueued
from warren.producer.core import Outgoing
from warren.producer.deadlines import Deadlines, Watched
from warren.producer.gathering import Gathering
from warren.producer.link import Link, Session, TryAgain, persistently
from warren.producer.runs import AHEAD, failures, how_many, together

_NO_SUCH_EXCHANGE = 404


class _NotSent(AmqpError):
    """Something is missing that must be there first."""


@dataclass(slots=True, eq=False)
class _Trial:
    """What is known of one publish while it is tried with care."""

    outgoing: Outgoing
    started: float
    in_flight: bool = False
    redeclared: bool = False


@dataclass(slots=True, eq=False)
class _Sent:
    """Jobs that were sent together and are not concluded yet; without `watched` they could not be sent."""

    jobs: Sequence[Outgoing]
    started: float
    watched: Watched | None


class Publisher:
    """Sends jobs over a link; on its loop."""

    def __init__(self, link: Link, events: Events) -> None:
        self.link = link
        self._events = events
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
        except TimeoutError:
            raise self.too_late(outgoing, in_flight=True) from None
        except AmqpError as error:
            await self.recover(outgoing, started, error)

    async def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined: all confirmed when this returns.

        Raises:
            PublishError: as `send`; a note on it says how many were confirmed.
        """
        waiting: deque[_Sent] = deque()
        begun = 0
        try:
            async with self._sending_many:
                for jobs in together(outgoing):
                    # Those after one that needs something need what it makes.
                    careful, rest = ([], jobs) if self.ready(jobs[0]) else (jobs[:1], jobs[1:])
                    for part in filter(None, (careful, rest)):
                        begun += len(part)
                        waiting.append(self._start(part))
                        if part is careful:
                            await self._conclude_oldest(waiting, 0)
                    await asyncio.sleep(0)  # what was sent so far is written
                    await self._conclude_oldest(waiting, AHEAD)
            await self._conclude_oldest(waiting, 0)
        except PublishError as error:
            error.add_note(how_many(begun - sum(len(sent.jobs) for sent in waiting)))
            raise
        finally:
            for left in waiting:
                if left.watched is not None:
                    left.watched.future.cancel()

    async def recover(self, outgoing: Outgoing, started: float, error: AmqpError) -> None:
        """Send again, with care, what the broker did not take as it was or whose fate is unknown.

        Raises:
            PublishError: as `send`; the deadline is that of what was `started` then.
        """
        if isinstance(error, Nacked):
            raise _refused(outgoing, str(error)) from error
        await self._send_with_care(_Trial(outgoing, started, in_flight=isinstance(error, ConnectionLost)))

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

    def too_late(self, outgoing: Outgoing, *, in_flight: bool) -> PublishError:
        """Return what to raise when the deadline is over; in any thread."""
        seconds, session = self.link.settings.publish_timeout, self.link.session
        fate = "it may still arrive" if in_flight else "it was not sent"
        if session is not None and session.connection.blocked:
            return BrokerBlocked(
                f"the broker takes no messages now (memory or disk alarm): job {outgoing.id} was not confirmed "
                f"within {seconds:g} s; {fate}",
                unknown=in_flight,
            )
        why = f": {self.link.last_failure}" if self.link.last_failure else ""
        return BrokerUnavailable(
            f"job {outgoing.id} was not confirmed within {seconds:g} s{why}; {fate}", unknown=in_flight
        )

    def close(self) -> None:
        """Give up what is in flight; whoever waits for it is told."""
        self._deadlines.cancel_all()

    def _start(self, jobs: Sequence[Outgoing]) -> _Sent:
        """Send to one address without waiting for the confirm, where all that the jobs need is there."""
        session = self.ready(jobs[0])
        if session is None:
            return _Sent(jobs, time.monotonic(), None)
        sent = session.publish([job.letter for job in jobs], *jobs[0].address(self.link.names, time.time()))
        return _Sent(jobs, time.monotonic(), self._deadlines.watch(sent))

    async def _conclude_oldest(self, waiting: deque[_Sent], keep: int) -> None:
        while len(waiting) > keep:
            await self._conclude(waiting[0])
            waiting.popleft()

    async def _conclude(self, sent: _Sent) -> None:
        """See to it that all are confirmed."""
        try:
            await self._confirmed(sent)
        except TimeoutError:
            raise self.too_late(sent.jobs[0], in_flight=True) from None
        except AmqpError as error:
            for place, why in failures(error, len(sent.jobs)).items():
                await self.recover(sent.jobs[place], sent.started, why)

    async def _confirmed(self, sent: _Sent) -> None:
        """Wait for the confirms.

        Raises:
            TimeoutError, AmqpError: for `failures` to tell apart.
        """
        jobs = sent.jobs
        try:
            if sent.watched is None:
                raise _NotSent
            await sent.watched.confirmed()
        except AmqpError as error:
            failed = failures(error, len(jobs))
            self.enqueued([job for place, job in enumerate(jobs) if place not in failed], sent.started)
            raise
        self.enqueued(jobs, sent.started)

    async def _send_with_care(self, trial: _Trial) -> None:
        """Send with all that it needs, again and again until the deadline."""
        left = trial.started + self.link.settings.publish_timeout - time.monotonic()
        try:
            async with asyncio.timeout(left):
                await persistently(lambda: self._send_once(trial))
        except TimeoutError:
            raise self.too_late(trial.outgoing, in_flight=trial.in_flight) from self.link.last_failure
        self.enqueued((trial.outgoing,), trial.started)

    async def _send_once(self, trial: _Trial) -> None:
        outgoing = trial.outgoing
        try:
            session = await self.link.open()
            await self._declare(session, outgoing)
            trial.in_flight = True
            await session.publish((outgoing.letter,), *outgoing.address(self.link.names, time.time()))
        except ConnectionLost as error:
            self.link.last_failure = error
            raise TryAgain from error
        except (Returned, ChannelRefused) as error:
            trial.in_flight = False
            self._not_taken(trial, error)
        except Nacked as error:
            raise _refused(outgoing, str(error)) from error

    def _not_taken(self, trial: _Trial, error: Returned | ChannelRefused) -> None:
        """No queue or no exchange: declare anew and try once more where we may declare; else say so."""
        if isinstance(error, ChannelRefused) and error.code != _NO_SUCH_EXCHANGE:
            raise _refused(trial.outgoing, error.text) from error
        if not self.link.settings.declare or trial.redeclared:
            raise Unroutable(trial.outgoing.queue, str(error)) from error
        trial.redeclared = True
        if self.link.session is not None:
            self.link.session.declared.clear()
        raise TryAgain from error

    async def _declare(self, session: Session, outgoing: Outgoing) -> None:
        """Declare what this job needs and this session has not declared yet."""
        names, queue = self.link.names, outgoing.queue
        await self.link.declare(session, "exchanges", *topology.base(names))
        if outgoing.delayed and "delays" not in session.declared:
            there = await session.connection.exists(topology.delays_marker(names))
            await self.link.declare(session, "delays", *(() if there else topology.delays(names)))
        await self.link.declare(session, f"queue {queue!r}", *topology.work_queue(names, queue))


def _refused(outgoing: Outgoing, why: str) -> PublishRefused:
    return PublishRefused(
        f"the broker refused job {outgoing.id} for queue {outgoing.queue!r}: {why}; it is not enqueued"
    )
