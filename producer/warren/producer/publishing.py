"""Publishing jobs without ever lying: confirmed within the deadline, or a typed error.

One deadline covers all a publish may need: connecting, declaring, sending, confirming, and all that again when the
connection is lost in between. A publish whose confirm was lost is sent again under the same job id.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from warren import topology
from warren.amqp.seam import AmqpError, ChannelRefused, ConnectionLost, Nacked, Returned
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishError, PublishRefused, Unroutable
from warren.events import Events, JobEnqueued
from warren.producer.core import Outgoing
from warren.producer.deadlines import Deadlines, Watched
from warren.producer.io_thread import Waiter
from warren.producer.link import Link, Session, TryAgain, persistently

Rest = Coroutine[Any, Any, None]

_WINDOW = 1000
"""Publishes in flight at most while many are sent, which keeps memory flat."""
_STEP = 100
"""Publishes written at once while many are sent."""
_NO_SUCH_EXCHANGE = 404


@dataclass(slots=True, eq=False)
class _Trial:
    """What is known of one publish while it is tried."""

    outgoing: Outgoing
    started: float
    sent: Watched | None = None
    in_flight: bool = False
    confirmed: bool = False
    redeclared: bool = False


class Publisher:
    """Sends jobs over a link."""

    def __init__(self, link: Link, events: Events) -> None:
        self._link = link
        self._events = events
        self._deadlines = Deadlines(link.settings.publish_timeout)
        self._sending_many = asyncio.Lock()  # jobs arrive in the order they are enqueued in

    async def send(self, outgoing: Outgoing) -> None:
        """Publish one job: confirmed when this returns.

        Raises:
            PublishError: one of its kinds, within the deadline.
            TopologyMismatch: what must be declared exists with other arguments.
        """
        await self._conclude(self._try(outgoing))

    def send_from_thread(self, outgoing: Outgoing) -> Rest | None:
        """As `send`, in another thread than the loop's: it writes itself and waits here, which saves waking the loop's.

        Returns what is left to do on the loop: all of it where this thread cannot write, seeing to a refusal or a loss.
        """
        trial, session, waiter = _Trial(outgoing, time.monotonic()), self._link.session, Waiter()
        if session is None or session.direct is None or not session.alive or not _has_all(session, outgoing):
            return self.send(outgoing)
        address = outgoing.address(self._link.names, time.time())
        if not session.direct.publish_from_thread(outgoing.message, *address, waiter):
            return self.send(outgoing)
        trial.in_flight = True
        if not waiter.wait(self._link.settings.publish_timeout):
            raise self._too_late(trial)
        if waiter.error is not None:
            return self._recover(trial, waiter.error)
        self._events.emit(_enqueued(trial))
        return None

    async def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined: all confirmed when this returns.

        Raises:
            PublishError: as `send`; a note on it says how many were confirmed.
        """
        waiting: deque[_Trial] = deque()
        sent = 0
        try:
            async with self._sending_many:
                for one in outgoing:
                    waiting.append(trial := self._try(one))
                    if trial.sent is None:
                        await self._send_with_care(trial)  # those after it need what it makes
                    sent += 1
                    if sent % _STEP == 0:
                        await asyncio.sleep(0)  # what was sent so far is written
                    if len(waiting) >= _WINDOW:
                        await self._conclude_oldest(waiting, _STEP)
            await self._conclude_oldest(waiting, len(waiting))
        except PublishError as error:
            error.add_note(f"the first {sent - len(waiting)} jobs are enqueued; of the others some may be")
            raise
        finally:
            for one_left in waiting:
                if one_left.sent is not None:
                    one_left.sent.future.cancel()

    def close(self) -> None:
        """Give up what is in flight; whoever waits for it is told."""
        self._deadlines.cancel_all()

    def _try(self, outgoing: Outgoing) -> _Trial:
        """Send without waiting for the confirm, where all that it needs is there."""
        trial, session = _Trial(outgoing, time.monotonic()), self._link.session
        if session is not None and session.alive and _has_all(session, outgoing):
            address = outgoing.address(self._link.names, time.time())
            trial.sent = self._deadlines.watch(session.connection.publish(outgoing.message, *address))
            trial.in_flight = True
        return trial

    async def _conclude_oldest(self, waiting: deque[_Trial], number: int) -> None:
        for _ in range(number):
            await self._conclude(waiting[0])
            waiting.popleft()

    async def _conclude(self, trial: _Trial) -> None:
        """Wait for the confirm."""
        try:
            if trial.sent is not None:
                await trial.sent.confirmed()
            elif not trial.confirmed:
                await self._send_with_care(trial)
        except TimeoutError:
            raise self._too_late(trial) from None
        except AmqpError as error:
            await self._recover(trial, error)
        else:
            self._events.emit(_enqueued(trial))

    async def _recover(self, trial: _Trial, error: AmqpError) -> None:
        """Send again, with care, what the broker does not take as it is or whose fate is unknown."""
        if isinstance(error, Nacked):
            raise _refused(trial.outgoing, str(error)) from error
        trial.in_flight = isinstance(error, ConnectionLost)
        await self._send_with_care(trial)
        self._events.emit(_enqueued(trial))

    async def _send_with_care(self, trial: _Trial) -> None:
        """Send with all that it needs, again and again until the deadline."""
        left = trial.started + self._link.settings.publish_timeout - time.monotonic()
        try:
            async with asyncio.timeout(left):
                await persistently(lambda: self._send_once(trial))
                trial.confirmed = True
        except TimeoutError:
            raise self._too_late(trial) from self._link.last_failure

    async def _send_once(self, trial: _Trial) -> None:
        outgoing = trial.outgoing
        try:
            session = await self._link.open()
            await self._declare(session, outgoing)
            trial.in_flight = True
            await session.connection.publish(outgoing.message, *outgoing.address(self._link.names, time.time()))
        except ConnectionLost as error:
            self._link.last_failure = error
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
        if not self._link.settings.declare or trial.redeclared:
            raise Unroutable(trial.outgoing.job.queue, str(error)) from error
        trial.redeclared = True
        if self._link.session is not None:
            self._link.session.declared.clear()
        raise TryAgain from error

    async def _declare(self, session: Session, outgoing: Outgoing) -> None:
        """Declare what this job needs and this session has not declared yet."""
        names, queue = self._link.names, outgoing.job.queue
        await self._link.declare(session, "exchanges", *topology.base(names))
        if outgoing.delayed and "delays" not in session.declared:
            there = await session.connection.exists(topology.delays_marker(names))
            await self._link.declare(session, "delays", *(() if there else topology.delays(names)))
        await self._link.declare(session, f"queue {queue!r}", *topology.work_queue(names, queue))

    def _too_late(self, trial: _Trial) -> PublishError:
        seconds, job, session = self._link.settings.publish_timeout, trial.outgoing.job, self._link.session
        fate = "it may still arrive" if trial.in_flight else "it was not sent"
        if session is not None and session.connection.blocked:
            return BrokerBlocked(
                f"the broker takes no messages now (memory or disk alarm): job {job.id} was not confirmed within {seconds:g} s; {fate}",
                unknown=trial.in_flight,
            )
        why = f": {self._link.last_failure}" if self._link.last_failure else ""
        return BrokerUnavailable(
            f"job {job.id} was not confirmed within {seconds:g} s{why}; {fate}", unknown=trial.in_flight
        )


def _has_all(session: Session, outgoing: Outgoing) -> bool:
    declared = session.declared
    ready = "exchanges" in declared and f"queue {outgoing.job.queue!r}" in declared
    return ready and (not outgoing.delayed or "delays" in declared)


def _enqueued(trial: _Trial) -> JobEnqueued:
    job = trial.outgoing.job
    return JobEnqueued(job.id, job.task, job.queue, time.monotonic() - trial.started)


def _refused(outgoing: Outgoing, why: str) -> PublishRefused:
    job = outgoing.job
    return PublishRefused(f"the broker refused job {job.id} for queue {job.queue!r}: {why}; it is not enqueued")
