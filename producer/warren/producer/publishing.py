"""Publishing jobs without ever lying: confirmed within the deadline, or a typed error.

One deadline covers all a publish may need: connecting, declaring, sending, confirming, and all that again when the
connection is lost in between. A publish whose confirm was lost is sent again under the same job id.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from warren import topology
from warren.amqp.seam import ChannelRefused, ConnectionLost, Nacked, Returned
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishError, PublishRefused, Unroutable
from warren.events import Events, JobEnqueued
from warren.producer.core import Outgoing
from warren.producer.link import Link, Session, TryAgain, persistently

_WINDOW = 1000
"""Publishes in flight at most while many are sent."""
_NO_SUCH_EXCHANGE = 404


@dataclass(slots=True)
class _Trial:
    """What is known of one publish while it is tried."""

    outgoing: Outgoing
    in_flight: bool = False
    redeclared: bool = False


class Publisher:
    """Sends jobs over a link."""

    def __init__(self, link: Link, events: Events) -> None:
        self._link = link
        self._events = events

    async def send(self, outgoing: Outgoing) -> None:
        """Publish one job: confirmed when this returns.

        Raises:
            PublishError: one of its kinds, within the deadline.
            TopologyMismatch: what must be declared exists with other arguments.
        """
        started = time.monotonic()
        trial = _Trial(outgoing)
        try:
            async with asyncio.timeout(self._link.settings.publish_timeout):
                await persistently(lambda: self._send_once(trial))
        except TimeoutError:
            raise self._too_late(trial) from self._link.last_failure
        self._confirmed(outgoing, started)

    async def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined: all confirmed when this returns.

        Raises:
            PublishError: as `send`; a note on it says how many were confirmed.
        """
        waiting: deque[tuple[Outgoing, asyncio.Future[None], float]] = deque()
        confirmed = 0
        try:
            for one in outgoing:
                waiting.append((one, await self._dispatch(one), time.monotonic()))
                if len(waiting) >= _WINDOW:
                    await self._conclude(*waiting[0])
                    waiting.popleft()
                    confirmed += 1
            while waiting:
                await self._conclude(*waiting[0])
                waiting.popleft()
                confirmed += 1
        except PublishError as error:
            error.add_note(f"the first {confirmed} jobs are enqueued; of the others some may be")
            raise
        finally:
            for _, future, _ in waiting:
                future.cancel()

    async def _dispatch(self, outgoing: Outgoing) -> asyncio.Future[None]:
        """Send without waiting for the confirm; what is not there yet is made first, with all care."""
        session = self._link.session
        if session is None or not session.alive or not _needs(outgoing) <= session.declared:
            await self.send(outgoing)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return session.connection.publish(outgoing.message, *outgoing.address(self._link.names, time.time()))

    async def _conclude(self, outgoing: Outgoing, sent: asyncio.Future[None], started: float) -> None:
        try:
            async with asyncio.timeout(self._link.settings.publish_timeout):
                await sent
        except (Returned, ChannelRefused, ConnectionLost):
            await self.send(outgoing)
        except Nacked as error:
            raise _refused(outgoing, str(error)) from error
        except TimeoutError:
            raise self._too_late(_Trial(outgoing, in_flight=True)) from None
        else:
            self._confirmed(outgoing, started)

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

    def _confirmed(self, outgoing: Outgoing, started: float) -> None:
        job = outgoing.job
        self._events.emit(JobEnqueued(job.id, job.task, job.queue, time.monotonic() - started))

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


def _needs(outgoing: Outgoing) -> set[str]:
    needs = {"exchanges", f"queue {outgoing.job.queue!r}"}
    return needs | {"delays"} if outgoing.delayed else needs


def _refused(outgoing: Outgoing, why: str) -> PublishRefused:
    job = outgoing.job
    return PublishRefused(f"the broker refused job {job.id} for queue {job.queue!r}: {why}; it is not enqueued")
