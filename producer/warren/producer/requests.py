"""Saying something to whoever conducts workflows: confirmed within the deadline, or a typed error."""

import asyncio
import time
from dataclasses import dataclass

from warren import topology
from warren.amqp.seam import ChannelRefused, ConnectionLost, Message, Nacked, Returned
from warren.errors import BrokerBlocked, BrokerUnavailable, PublishError, PublishRefused
from warren.producer.link import Link, TryAgain, persistently
from warren.workflow import messages
from warren.workflow.messages import Request

_WHAT = "workflows"
_NO_SUCH_EXCHANGE = 404


@dataclass(slots=True, eq=False)
class _Trial:
    message: Message
    in_flight: bool = False
    redeclared: bool = False


class Requests:
    """Publishes requests over a producer's link; on its loop."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def send(self, request: Request) -> None:
        """Publish a request: the broker keeps it when this returns, whether or not a scheduler runs.

        Raises:
            InvalidWorkflow: it is too large.
            PublishError: one of its kinds, within the deadline; saying the same again does no harm.
            TopologyMismatch: what must be declared exists with other arguments.
        """
        trial = _Trial(messages.to_message(request, time.time()))
        try:
            async with asyncio.timeout(self._link.settings.publish_timeout):
                await persistently(lambda: self._send_once(trial))
        except TimeoutError:
            raise self._too_late(trial) from self._link.last_failure

    async def _send_once(self, trial: _Trial) -> None:
        names = self._link.names
        try:
            session = await self._link.open()
            await self._link.declare(session, _WHAT, *topology.workflows(names))
            trial.in_flight = True
            await session.connection.publish(trial.message, names.workflows, topology.WORKFLOWS)
        except ConnectionLost as error:
            self._link.last_failure = error
            raise TryAgain from error
        except (Returned, ChannelRefused) as error:
            trial.in_flight = False
            self._not_taken(trial, error)
        except Nacked as error:
            raise PublishRefused(
                f"the broker refused what was said of a workflow: {error}; nothing was sent"
            ) from error

    def _not_taken(self, trial: _Trial, error: Returned | ChannelRefused) -> None:
        """No queue or no exchange: declare anew and try once more where we may declare; else say so."""
        gone = isinstance(error, Returned) or error.code == _NO_SUCH_EXCHANGE
        if not gone or not self._link.settings.declare or trial.redeclared:
            raise PublishRefused(
                f"the broker does not take workflows: {error}; run `warren topology apply`, and `warren topology show --permissions` "
                "tells which rights whoever starts workflows needs; nothing was sent"
            ) from error
        trial.redeclared = True
        if self._link.session is not None:
            self._link.session.declared.discard(_WHAT)
        raise TryAgain from error

    def _too_late(self, trial: _Trial) -> PublishError:
        seconds, session = self._link.settings.publish_timeout, self._link.session
        fate = "it may still arrive" if trial.in_flight else "it was not sent"
        if session is not None and session.connection.blocked:
            why = "the broker takes no messages now (memory or disk alarm)"
            return BrokerBlocked(f"{why}: nothing was confirmed within {seconds:g} s; {fate}", unknown=trial.in_flight)
        last = f": {self._link.last_failure}" if self._link.last_failure else ""
        return BrokerUnavailable(f"nothing was confirmed within {seconds:g} s{last}; {fate}", unknown=trial.in_flight)
