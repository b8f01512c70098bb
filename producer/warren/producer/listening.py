"""Hearing of results: live on an exclusive queue, and from the broker's result stream for what was missed or is asked later."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
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
    StreamStart,
)
from warren.errors import ResultError
from warren.job import id_time, new_id
from warren.producer.inbox import AnySlot, Inbox
from warren.producer.link import Link, Session, persistently
from warren.states import FINAL
from warren.topology import Binding, Queue

_STREAM_PREFETCH = 500


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
                Queue(reply_queue, exclusive=True), Binding(results, reply_queue, self.reply_key)
            )
            await session.connection.consume(reply_queue, self._on_result, no_ack=True)
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
                if self._hears(slot):
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                else:
                    # A loss while the stream is being opened is one like any other.
                    with suppress(ConnectionLost):
                        async with self._following(session, link.names.results, slot.job.id):
                            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    def _hears(self, slot: AnySlot) -> bool:
        """Whether our queue was open before this slot's job existed; else its result may have passed already."""
        mine = slot.job.reply_to == self.reply_key
        return mine and self._live_since is not None and self._live_since <= slot.job.enqueued_at

    async def find(self, link: Link, job_id: str) -> result.Result | None:
        """Return a job's final result, if the broker's stream has one.

        Raises:
            ResultError: the stream cannot be read.
        """
        session = await link.reach()
        found: list[result.Result] = []
        marker, seen_all = new_id(), asyncio.Event()

        def look(delivery: Delivery) -> None:
            session.connection.settle(delivery, Settle.ACK)
            if delivery.message.correlation_id == job_id and (one := result.from_message(delivery.message)):
                found.append(one)
            if delivery.message.message_id == marker:
                seen_all.set()

        limit, reading = link.settings.publish_timeout, _reading(session, link.names.results, job_id, look)
        try:
            async with asyncio.timeout(limit), reading:
                # A stream does not say where it ends: publish a marker of our own and read up to it.
                await session.connection.publish(
                    Message(b"", message_id=marker, type="marker"), link.names.results, result.NOBODY, mandatory=False
                )
                await seen_all.wait()
        except (TimeoutError, ConnectionLost, ChannelRefused) as error:
            raise ResultError(f"the results the broker keeps cannot be read: {error or 'no answer in time'}") from error
        return next((one for one in reversed(found) if one.state in FINAL), None)

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


@asynccontextmanager
async def _reading(
    session: Session, results: str, since_id: str, take: Callable[[Delivery], None]
) -> AsyncIterator[None]:
    moment = id_time(since_id)
    offset = StreamFrom(int(moment) - 1) if moment is not None else StreamStart.FIRST
    try:
        reader = await session.connection.consume(results, take, prefetch=_STREAM_PREFETCH, offset=offset)
    except ChannelRefused as error:
        raise ResultError(f"the results the broker keeps cannot be read: {error}") from error
    try:
        yield
    finally:
        with suppress(ChannelRefused, ConnectionLost):
            await session.connection.cancel(reader)
