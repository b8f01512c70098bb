"""The publishing channel of a pika connection: which delivery tag belongs to whom."""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import pika
from pika.channel import Channel

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_channels import Rpc
from warren.amqp.pika_stream import Stream
from warren.amqp.seam import AmqpError, ChannelRefused, Confirm, ConnectionLost, Message, Nacked, Returned

_PRECONDITION_FAILED = 406


class _Unconfirmed(NamedTuple):
    future: Confirm
    message_id: str | None
    exchange: str
    routing_key: str


class Publishing:
    """Publishes on one channel and taps its confirms."""

    def __init__(self, rpc: Rpc, stream: Stream, body_limit: int) -> None:
        self.rpc = rpc
        self._number = rpc.channel.channel_number
        self._stream = stream
        self._body_limit = body_limit
        self._loop = asyncio.get_running_loop()
        self._last_tag = 0
        self._oldest = 1  # no tag below it is unconfirmed
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        self._returned: dict[int, str] = {}
        self._torn = False  # under the lock: a thread was interrupted while it published
        self._failed = False
        rpc.on_fail = self._fail
        rpc.channel.add_on_return_callback(self._on_return)

    async def open(self) -> None:
        """Put the channel into confirm mode."""
        # pika will have somebody to tell of confirms, but they are tapped before they reach it.
        await self.rpc.call(lambda done: self.rpc.channel.confirm_delivery(lambda _: None, callback=done))
        self._stream.taps[self._number] = self._tap

    def publish(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> "asyncio.Future[None]":
        """Send a message; the future is done when it is confirmed."""
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            frames = self._frames(message, exchange, routing_key, mandatory=mandatory)
            self._stream.hold()
        except AmqpError as error:
            future.set_exception(error)
            return future
        if self._torn:
            future.set_exception(self._stream.torn())
        else:
            self._register(future, message, exchange, routing_key)
            self._stream.write(frames)
        self._stream.lock.release()
        if self._stream.is_full:
            self._stream.flush()
        return future

    def publish_from_thread(self, message: Message, exchange: str, routing_key: str, confirm: Confirm) -> bool:
        """As `publish`, mandatory, in another thread than the loop's; False when that cannot be done now.

        A signal handler may raise anywhere in here. Left between numbering a publish and sending it, no later publish
        could be told from its neighbour: so none is made any more, and the connection ends.
        """
        frames = self._frames(message, exchange, routing_key, mandatory=True)
        lock = self._stream.lock
        if not lock.acquire(blocking=False):  # it may be this very thread's, whose signal handler enqueues
            return False
        try:
            if self._torn or self._failed:
                return False
            self._torn = True
            self._register(confirm, message, exchange, routing_key)
            self._stream.write_now(frames)
            self._torn = False
        finally:
            lock.release()
        return True

    def _register(self, confirm: Confirm, message: Message, exchange: str, routing_key: str) -> None:
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = _Unconfirmed(confirm, message.message_id, exchange, routing_key)

    def _frames(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> bytes:
        if not self.rpc.channel.is_open:
            raise ConnectionLost("the publishing channel is closed")
        try:
            return pika_frames.publish(
                self._number, exchange, routing_key, message, mandatory=mandatory, limit=self._body_limit
            )
        except ValueError as error:
            raise ChannelRefused(_PRECONDITION_FAILED, str(error)) from error

    def _tap(self, kind: int, data: bytes, at: int, _: int) -> bool:
        method = pika_parsing.method(data, at) if kind == pika_frames.METHOD else None
        if method not in (pika_frames.ACK, pika_frames.NACK):
            return False
        tag, multiple = pika_parsing.confirm(data, at)
        acked = method == pika_frames.ACK
        if multiple:
            for each in range(self._oldest, tag):
                self._conclude(each, acked=acked)
            self._oldest = tag
        self._conclude(tag, acked=acked)
        return True

    def _conclude(self, tag: int, *, acked: bool) -> None:
        waiting = self._unconfirmed.pop(tag, None)
        if waiting is None or waiting.future.done():
            self._returned.pop(tag, None)
        elif self._returned and tag in self._returned:
            waiting.future.set_exception(Returned(self._returned.pop(tag)))
        elif acked:
            waiting.future.set_result(None)
        else:
            waiting.future.set_exception(Nacked("the broker refused the message"))

    def _fail(self, error: AmqpError) -> None:
        with suppress(ConnectionLost):
            self._stream.hold()
            self._failed = True
            self._stream.lock.release()
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        if len(unconfirmed) > 1 and isinstance(error, ChannelRefused):
            # The refusal was for one of them, and nobody says which.
            error = ConnectionLost(f"the channel was closed over a publish, perhaps another one: {error}")
        for waiting in unconfirmed.values():
            if not waiting.future.done():
                waiting.future.set_exception(error)

    def _on_return(self, _: Channel, method: Any, had: pika.BasicProperties, __: bytes) -> None:
        # The broker sends a message back just before it confirms it, and does not say which tag that was.
        key = (had.message_id, method.exchange, method.routing_key)
        for tag, waiting in list(self._unconfirmed.items()):  # other threads add to it
            if waiting[1:] == key and tag not in self._returned:
                self._returned[tag] = f"{method.reply_code} {method.reply_text}"
                return
