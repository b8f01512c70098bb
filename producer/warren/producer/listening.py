"""Hearing of results: live on an exclusive queue, and from the broker's result stream for what was missed or is asked later."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from warren import result
from warren.amqp.seam import (
    ChannelRefused,
    ConnectionLost,
    Delivery,
    Message,
    Settle,
    StreamFrom,
    StreamOffset,
    StreamStart,
)
from warren.errors import ResultError
from warren.job import id_time, new_id
from warren.producer.inbox import AnySlot, Inbox
from warren.producer.link import Link, Session, persistently
from warren.states import FINAL, JobState
from warren.topology import Binding, Queue

_STREAM_PREFETCH = 500
_FAST_CLOCK_SECONDS = 86_400.0
"""So far ahead another machine's clock may be."""


class Listener:
    """Puts results into the inbox; `listen` is run on every new session."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.reply_key = uuid.uuid4().hex
        self._live_since: float | None = None

    async def listen(self, session: Session, reply_queue: str, results: str) -> None:
        """Open this producer's queue of results; without the right to one, results are read from the stream when asked for."""
        self._live_since = None
        try:
            await session.connection.declare(
                Queue(reply_queue, exclusive=True),
                Binding(results, reply_queue, self.reply_key),
                Binding(results, reply_queue, result.EVERYBODY),
            )
            await session.connection.consume(reply_queue, self._on_reply, no_ack=True)
            self._live_since = time.time()
        except ChannelRefused:
            pass

    async def hear(self, link: Link, slot: AnySlot) -> None:
        """Wait until something new lies in a slot, through any number of reconnects."""
        changed = asyncio.ensure_future(slot.changed.wait())
        try:
            while not changed.done():
                session = await persistently(link.open)
                ends: list[asyncio.Future[Any]] = [changed, session.connection.lost]
                if self.hears(slot):
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                else:
                    # A loss while the stream is being opened is one like any other.
                    with suppress(ConnectionLost):
                        async with self._following(session, link.names.results, slot.job.id):
                            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    def hears(self, slot: AnySlot) -> bool:
        """Whether our queue was open before this slot's job existed; else its result may have passed already."""
        mine = slot.job.reply_to == self.reply_key
        return mine and self._live_since is not None and self._live_since <= slot.job.enqueued_at

    async def find_all(self, link: Link, ids: Collection[str]) -> dict[str, result.Result]:
        """Return the final results that the broker's stream has of jobs, the last of each.

        Raises:
            ResultError: the stream cannot be read.
        """
        session = await link.reach()
        found: dict[str, result.Result] = {}
        marker, seen_all = new_id(), asyncio.Event()

        def look(delivery: Delivery) -> None:
            session.connection.settle(delivery, Settle.ACK)
            one = result.from_message(delivery.message) if delivery.message.correlation_id in ids else None
            if one is not None and one.state in FINAL:
                found[one.id] = one
            if delivery.message.message_id == marker:
                seen_all.set()

        limit, reading = link.settings.publish_timeout, _reading(session, link.names.results, _oldest(ids), look)
        try:
            async with asyncio.timeout(limit), reading:
                # A stream does not say where it ends: publish a marker of our own and read up to it.
                await session.connection.publish(
                    Message(b"", message_id=marker, type="marker"), link.names.results, result.NOBODY, mandatory=False
                )
                await seen_all.wait()
        except (TimeoutError, ConnectionLost, ChannelRefused) as error:
            raise ResultError(f"the results the broker keeps cannot be read: {error or 'no answer in time'}") from error
        return found

    def _on_reply(self, delivery: Delivery) -> None:
        if delivery.routing_key != result.EVERYBODY:
            self._on_result(delivery)
        elif (unheld := result.unheld_of(delivery.message)) is not None:
            for job_id in unheld.ids:
                self._end_unheld(job_id, unheld.reason)

    def _end_unheld(self, job_id: str, reason: str) -> None:
        """Have a cancelled job end here that no worker runs, if we know that there is such a job, and that it has not ended."""
        for slot in self.inbox.slots_of(job_id):
            if slot.job.wants_result and self.hears(slot) and not slot.complete:
                job, cancelled = slot.job, JobState.CANCELLED
                self.inbox.put(result.Result(job.id, job.task, job.queue, cancelled, 0, time.time(), reason=reason))
                return

    def _on_result(self, delivery: Delivery) -> None:
        if not self.inbox.expects(delivery.message.correlation_id):
            return
        found = result.from_message(delivery.message)
        if found is not None:
            self.inbox.put(found)

    def _following(self, session: Session, results: str, since_id: str) -> AbstractAsyncContextManager[None]:
        """Follow the stream from a job's beginning for as long as somebody waits."""

        def take(delivery: Delivery) -> None:
            session.connection.settle(delivery, Settle.ACK)
            self._on_result(delivery)

        return _reading(session, results, since_id, take)


def _oldest(ids: Collection[str]) -> str:
    """The id from whose moment on all are found; one without a moment is found from the beginning on."""
    return min(ids, key=lambda job_id: id_time(job_id) or 0.0)


def beginning(job_id: str, now: float) -> StreamOffset:
    """Return where in the stream there may be something of a job; its id says it, unless it is one that nobody can have made."""
    moment = id_time(job_id)
    made = moment is not None and 1 <= moment <= now + _FAST_CLOCK_SECONDS
    return StreamFrom(int(moment) - 1) if moment is not None and made else StreamStart.FIRST


@asynccontextmanager
async def _reading(
    session: Session, results: str, since_id: str, take: Callable[[Delivery], None]
) -> AsyncIterator[None]:
    offset = beginning(since_id, time.time())
    try:
        reader = await session.connection.consume(results, take, prefetch=_STREAM_PREFETCH, offset=offset)
    except ChannelRefused as error:
        raise ResultError(f"the results the broker keeps cannot be read: {error}") from error
    try:
        yield
    finally:
        with suppress(ChannelRefused, ConnectionLost):
            await session.connection.cancel(reader)
