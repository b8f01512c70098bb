"""The publishing channel of a pika connection."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pika
from pika.channel import Channel

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_channels import Rpc
from warren.amqp.pika_confirms import Sheaf, Unanswered
from warren.amqp.pika_stream import Stream
from warren.amqp.seam import AmqpError, ChannelRefused, Confirm, ConnectionLost, Letter

_PRECONDITION_FAILED = 406


class Publishing:
    """Publishes on one channel and taps its confirms."""

    def __init__(self, rpc: Rpc, stream: Stream, body_limit: int) -> None:
        self.rpc = rpc
        self._number = rpc.channel.channel_number
        self._stream = stream
        self._body_limit = body_limit
        self._loop = asyncio.get_running_loop()
        self._unanswered = Unanswered()
        self._torn = False  # under the lock: a thread was interrupted while it published
        self._failed = False
        self._thread = 0
        """The thread that publishes now."""
        rpc.on_fail = self._fail
        rpc.channel.add_on_return_callback(self._on_return)

    async def open(self) -> None:
        """Put the channel into confirm mode."""
        # pika will have somebody to tell of confirms, but they are tapped before they reach it.
        await self.rpc.call(lambda done: self.rpc.channel.confirm_delivery(lambda _: None, callback=done))
        taps = self._stream.taps
        taps.on_loop[self._number], taps.of_answers[self._number] = self._tap, self._tap_from_thread

    def publish(self, letters: Sequence[Letter], exchange: str, routing_key: str) -> "asyncio.Future[None]":
        """Send messages at once; the future is done when all are confirmed."""
        future = self.publish_soon(letters, exchange, routing_key, mandatory=True)
        if not future.done():
            self._stream.flush()
        return future

    def publish_soon(
        self, letters: Sequence[Letter], exchange: str, routing_key: str, *, mandatory: bool
    ) -> "asyncio.Future[None]":
        """As `publish`, with all that is sent in this turn of the loop."""
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            frames = self._frames(letters, exchange, routing_key, mandatory=mandatory)
            self._stream.hold()
        except AmqpError as error:
            future.set_exception(error)
            return future
        if self._torn:
            future.set_exception(self._stream.torn())
        else:
            self._unanswered.add(Sheaf(future, letters, (exchange, routing_key)))
            self._stream.write(frames)
        self._stream.lock.release()
        if self._stream.is_full:
            self._stream.flush()
        return future

    def publish_from_thread(self, letters: Sequence[Letter], exchange: str, routing_key: str, confirm: Confirm) -> bool:
        """As `publish`, in another thread than the loop's; False when that cannot be done now.

        A signal handler may raise anywhere in here. Left between numbering a publish and sending it, no later publish
        could be told from its neighbour: so none is made any more, and the connection ends.
        """
        try:
            frames = self._frames(letters, exchange, routing_key, mandatory=True)
        except AmqpError:
            return False  # the loop's way will say what it is
        if not self._stream.lock.acquire(blocking=False):
            if self._thread == threading.get_ident():
                self._tear()
            return False
        try:
            self._thread = threading.get_ident()
            if self._torn or self._failed:
                return False
            self._torn = True
            sheaf = Sheaf(confirm, letters, (exchange, routing_key))
            self._unanswered.add(sheaf)
            self._stream.write_now(frames)
            self._torn = False
        finally:
            self._thread = 0
            self._stream.lock.release()
        if self._failed:  # meanwhile, by what follows
            self._unanswered.fail_one(sheaf, ConnectionLost("a publish was interrupted"))
        return True

    def _tear(self) -> None:
        """A signal handler of the thread that publishes wants to publish, too: the loop must not wait for that thread."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._stream.torn)

    def give_up(self, confirm: Confirm) -> AmqpError:
        """Return what is known of what was published with `confirm`."""
        return self._unanswered.give_up(confirm)

    def listen_from_thread(self, confirm: Confirm, until: float) -> None:
        """Read answers in the calling thread until `confirm` is told."""
        if self._stream.reading is not None:
            self._stream.reading.read_for(confirm, until)

    def stop_listening(self) -> None:
        """See to it that others read, when this is a signal handler in the thread that does."""
        if self._stream.reading is not None:
            self._stream.reading.leave()

    def _frames(self, letters: Sequence[Letter], exchange: str, routing_key: str, *, mandatory: bool) -> bytes:
        if not self.rpc.channel.is_open:
            raise ConnectionLost("the publishing channel is closed")
        try:
            return pika_frames.publish(
                self._number, exchange, routing_key, letters, mandatory=mandatory, limit=self._body_limit
            )
        except ValueError as error:
            raise ChannelRefused(_PRECONDITION_FAILED, str(error)) from error

    def _tap(self, kind: int, data: bytes, at: int, _: int) -> bool:
        method = pika_parsing.method(data, at) if kind == pika_frames.METHOD else None
        if method not in (pika_frames.ACK, pika_frames.NACK):
            return False
        self._unanswered.answer(data, at, acked=method == pika_frames.ACK)
        return True

    def _tap_from_thread(self, kind: int, data: bytes, at: int, end: int) -> bool:
        # What the answer is for was counted before it was sent, and so before it was answered.
        return not self._unanswered.for_loop and self._tap(kind, data, at, end)

    def _fail(self, error: AmqpError) -> None:
        self._failed = True
        with suppress(ConnectionLost):  # whoever is publishing has numbered it then
            self._stream.hold()
            self._stream.lock.release()
        self._unanswered.fail(error)

    def _on_return(self, _: Channel, method: Any, had: pika.BasicProperties, __: bytes) -> None:
        address = method.exchange, method.routing_key
        self._unanswered.returned(had.message_id, address, f"{method.reply_code} {method.reply_text}")
