"""Sending one job with care, whatever stands in the way.

One deadline covers all a publish may need: connecting, declaring, sending, confirming, and all that again when the
connection is lost in between. A publish whose confirm was lost is sent again under the same job id.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from warren import topology
from warren.amqp.seam import AmqpError, ChannelRefused, ConnectionLost, Late, Nacked, Returned
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishError, PublishRefused, Unroutable
from warren.producer.core import Outgoing
from warren.producer.link import Link, Session, TryAgain, persistently

_NO_SUCH_EXCHANGE = 404


@dataclass(slots=True, eq=False)
class _Trial:
    """What is known of one publish while it is tried with care."""

    outgoing: Outgoing
    started: float
    in_flight: bool = False
    redeclared: bool = False


class Careful:
    """Sends again and again until the deadline; on the link's loop.

    Args:
        link: to the broker.
        enqueued: told of what was confirmed, and when its sending began.
    """

    def __init__(self, link: Link, enqueued: Callable[[Outgoing, float], None]) -> None:
        self._link = link
        self._enqueued = enqueued

    async def send(self, outgoing: Outgoing, started: float, *, in_flight: bool = False) -> None:
        """Publish one job, with all that it needs.

        Args:
            outgoing: the job.
            started: when its sending began, in `time.monotonic`; the deadline is counted from there.
            in_flight: whether it may be on its way already.

        Raises:
            PublishError: one of its kinds, within the deadline.
            TopologyMismatch: what must be declared exists with other arguments.
        """
        trial = _Trial(outgoing, started, in_flight)
        try:
            async with asyncio.timeout(started + self._link.settings.publish_timeout - time.monotonic()):
                await persistently(lambda: self._send_once(trial))
        except TimeoutError:
            raise self.too_late(outgoing, in_flight=trial.in_flight) from self._link.last_failure
        self._enqueued(outgoing, started)

    async def recover(self, outgoing: Outgoing, started: float, error: AmqpError) -> None:
        """Send again, with care, what the broker did not take as it was or whose fate is unknown.

        Raises:
            PublishError: as `send`, the deadline being that of what was `started` then; at once when it is over.
        """
        if isinstance(error, Late):
            raise self.too_late(outgoing, in_flight=True)
        if isinstance(error, Nacked):
            raise _refused(outgoing, str(error)) from error
        await self.send(outgoing, started, in_flight=isinstance(error, ConnectionLost))

    def too_late(self, outgoing: Outgoing, *, in_flight: bool) -> PublishError:
        """Return what to raise when the deadline is over; in any thread."""
        seconds, session = self._link.settings.publish_timeout, self._link.session
        fate = "it may still arrive" if in_flight else "it was not sent"
        if session is not None and session.connection.blocked:
            return BrokerBlocked(
                f"the broker takes no messages now (memory or disk alarm): job {outgoing.id} was not confirmed "
                f"within {seconds:g} s; {fate}",
                unknown=in_flight,
            )
        why = f": {self._link.last_failure}" if self._link.last_failure else ""
        return BrokerUnavailable(
            f"job {outgoing.id} was not confirmed within {seconds:g} s{why}; {fate}", unknown=in_flight
        )

    async def _send_once(self, trial: _Trial) -> None:
        outgoing = trial.outgoing
        try:
            session = await self._link.open()
            await self._declare(session, outgoing)
            trial.in_flight = True
            await session.publish((outgoing.letter,), *outgoing.address(self._link.names, time.time()))
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
            raise Unroutable(trial.outgoing.queue, str(error)) from error
        trial.redeclared = True
        if self._link.session is not None:
            self._link.session.declared.clear()
        raise TryAgain from error

    async def _declare(self, session: Session, outgoing: Outgoing) -> None:
        """Declare what this job needs and this session has not declared yet."""
        names, queue = self._link.names, outgoing.queue
        await self._link.declare(session, "exchanges", *topology.base(names))
        if outgoing.delayed and "delays" not in session.declared:
            there = await session.connection.exists(topology.delays_marker(names))
            await self._link.declare(session, "delays", *(() if there else topology.delays(names)))
        await self._link.declare(session, f"queue {queue!r}", *topology.work_queue(names, queue))


def _refused(outgoing: Outgoing, why: str) -> PublishRefused:
    return PublishRefused(
        f"the broker refused job {outgoing.id} for queue {outgoing.queue!r}: {why}; it is not enqueued"
    )
