"""The consuming side of a pika connection: deliveries put together from their frames. Only touched from the loop."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_channels import Channels, Rpc
from warren.amqp.pika_frames import HEADER, METHOD
from warren.amqp.pika_settles import Credits, Settles
from warren.amqp.pika_stream import Stream
from warren.amqp.seam import (
    AmqpError,
    ChannelRefused,
    ConnectionLost,
    Delivery,
    OnDelivery,
    Settle,
    StreamOffset,
    Subscription,
    missing,
)
from warren.amqp.streams import offset_argument

_LAG_SECONDS = 0.001
_LAG_AHEAD_SECONDS = 0.008
"""Where a consumer holds more than one delivery: whoever took it in has others to go on with meanwhile."""
_MANY = 64
"""Settles that are sent together anyhow, so that few jobs run again when we are killed before."""
_FEW = 8
"""Deliveries held, below which nothing is gained by waiting."""
_ALONE = 2
"""Below which nothing else will be settled in the same turn of the loop."""
_NOT_FOUND = 404
_BY_REQUEST = b""
"""Where a consumer's tag would be: the message was asked for."""


@dataclass(slots=True, eq=False)
class Consumer:
    """One consumer; what crosses its cancel on the way is still its owner's."""

    queue: str
    on_delivery: OnDelivery
    no_ack: bool
    prefetch: int


class Consuming:
    """A channel with consumers, or for single messages; its deliveries are tapped, and each carries it as its channel."""

    def __init__(self, rpc: Rpc, stream: Stream, *, of_stream: bool = False) -> None:
        self.rpc = rpc
        self.arranging = asyncio.Lock()
        """Held while a consumer is opened or cancelled: pika takes any answer of a channel for everybody's."""
        self._prefetch = 0
        self._lag = _LAG_SECONDS
        self._number = rpc.channel.channel_number
        self._stream = stream
        self._consumers: dict[bytes, Consumer] = {}
        self._requests: deque[tuple[str, asyncio.Future[Delivery | None]]] = deque()
        """The queues that were asked for a message, and their answers, which come in this order."""
        # The delivery that has begun to arrive: its method, its header, its body so far and the bytes to come.
        self._method: tuple[bytes, int, bool, tuple[str, str]] | None = None
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0
        self._settles = Credits(self._number) if of_stream else Settles(self._number)
        self._timer: asyncio.Handle | None = None
        stream.taps.on_loop[self._number] = self._tap

    def add(self, consumer: Consumer) -> str:
        """Expect deliveries for a consumer; return the fresh tag it shall consume by."""
        tag = f"warren-{uuid.uuid4().hex}"
        self._consumers[tag.encode()] = consumer
        self._fit_lag()
        return tag

    async def limit(self, prefetch: int) -> None:
        """Have the consumers that are opened from now on hold so many deliveries; those that are there keep what they have."""
        if prefetch != self._prefetch:
            await self.rpc.call(lambda done: self.rpc.channel.basic_qos(prefetch_count=prefetch, callback=done))
            self._prefetch = prefetch

    def forget(self, tag: str) -> None:
        """Drop a consumer that the broker has cancelled for us: nothing more comes for it."""
        self._consumers.pop(tag.encode(), None)
        self._fit_lag()

    async def get(self, queue: str) -> Delivery | None:
        """Ask for a message; see `Connection.get`."""
        if not self.rpc.channel.is_open:
            raise ConnectionLost("the channel is closed")
        answer: asyncio.Future[Delivery | None] = self.rpc.expect()
        self._requests.append((queue, answer))
        self._stream.write(pika_frames.get(self._number, queue))
        try:
            delivery: Delivery | None = await self.rpc.wait(answer)
        except asyncio.CancelledError:
            if not answer.cancelled() and answer.exception() is None and (delivery := answer.result()) is not None:
                self.settle(delivery.tag, Settle.GIVE_BACK)  # it came at the same moment
            raise
        return delivery

    def settle(self, tag: int, how: Settle) -> bool:
        """Settle a delivery, within a millisecond, or eight where a consumer holds many; False when the channel is gone.

        Of many that are held, settles are sent when half of them is settled, so those of short jobs go together: for the broker,
        too, one write is cheaper than many, and it answers with as many deliveries together, which it also reads together
        from its disk when the queue is long.
        """
        if not self.rpc.channel.is_open:
            return False
        self._settles.settle(tag, how)
        held = self._settles.held
        if held < _ALONE:
            self._stream.write_through(self._settles.take())  # what comes next waits for it
        elif self._settles.settled >= held or held < _FEW:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._lag, self.flush)
        elif self._settles.settled == _MANY:
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_soon(self.flush)
        return True

    def flush(self) -> None:
        """Send what is settled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._settles.settled:
            self._stream.write(self._settles.take())

    def _fit_lag(self) -> None:
        many = any(consumer.prefetch > 1 for consumer in self._consumers.values())
        self._lag = _LAG_AHEAD_SECONDS if many else _LAG_SECONDS

    def _tap(self, kind: int, data: bytes, at: int, end: int) -> bool:
        if kind == METHOD:
            return self._begin(pika_parsing.method(data, at), data, at, end)
        if kind == HEADER:
            self._header = data[at:end]
            self._missing = pika_parsing.body_size(data, at)
        else:
            self._body.append(data[at:end])
            self._missing -= end - at
        if not self._missing:
            self._complete()
        return True

    def _begin(self, method: int, data: bytes, at: int, end: int) -> bool:
        """Take the first frame of a delivery; False when it is another method."""
        if method == pika_frames.DELIVER:
            self._method = pika_parsing.deliver(data, at, end)
        elif method == pika_frames.GET_OK:
            self._method = _BY_REQUEST, *pika_parsing.got(data, at, end)
        elif method == pika_frames.GET_EMPTY:
            _, answer = self._requests.popleft()
            if not answer.done():
                answer.set_result(None)
        else:
            return False
        return True

    def _complete(self) -> None:
        assert self._method is not None
        consumer_tag, tag, redelivered, (exchange, routing_key) = self._method
        parts, self._body = self._body, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if consumer_tag == _BY_REQUEST:
            queue, answer = self._requests.popleft()
            self._settles.delivered(tag)
            if answer.done():
                self.settle(tag, Settle.GIVE_BACK)  # nobody waits for it any more
                return
            message = pika_parsing.message(self._header, 0, body)
            answer.set_result(Delivery(message, queue, exchange, routing_key, redelivered, tag, self))
            return
        consumer = self._consumers.get(consumer_tag)
        if consumer is None or not consumer.no_ack:
            self._settles.delivered(tag)
        if consumer is None:
            self.settle(tag, Settle.GIVE_BACK)  # nobody waits for it any more
            return
        message = pika_parsing.message(self._header, 0, body)
        consumer.on_delivery(Delivery(message, consumer.queue, exchange, routing_key, redelivered, tag, self))


class Consumers:
    """Opens and cancels a connection's consumers, and asks for single messages.

    Those of one queue share a channel once the broker has granted the first: a channel is a process in the broker, and one
    that serves forty consumers costs less than forty. And a broker that goes closes channels one after another: it would hand
    a message on from each to the next, and charge it every time. A consumer that leaves nothing to settle has its own.
    """

    def __init__(self, channels: Channels, stream: Stream, cancelled: Callable[[str], None]) -> None:
        self._channels = channels
        self._stream = stream
        self._cancelled = cancelled
        self._shared: dict[str, Consuming] = {}
        self._asked: dict[str, Consuming] = {}
        """The channels that single messages are asked for on, one for each queue: a queue that is gone closes its own."""
        self._opening = asyncio.Lock()

    async def consume(
        self, queue: str, on_delivery: OnDelivery, *, prefetch: int, no_ack: bool, offset: StreamOffset | None
    ) -> Subscription:
        """Open a consumer; see `Connection.consume`."""
        leaves_nothing = no_ack or offset is not None
        consuming = None if leaves_nothing else self._shared.get(queue)
        if consuming is None or not consuming.rpc.channel.is_open:
            consuming = await self._open(queue, of_stream=offset is not None)
        rpc, arguments = consuming.rpc, offset_argument(offset)
        async with consuming.arranging:
            await consuming.limit(prefetch)
            tag = consuming.add(Consumer(queue, on_delivery, no_ack, prefetch))
            await rpc.call(
                lambda done: rpc.channel.basic_consume(
                    queue, _tapped, auto_ack=no_ack, consumer_tag=tag, arguments=arguments, callback=done
                )
            )
        rpc.needed = True  # a refused consumer is no loss, one that ends is
        if not leaves_nothing:
            self._shared[queue] = consuming
        return Subscription(queue, consuming, tag, leaves_nothing)

    async def cancel(self, subscription: Subscription) -> None:
        """Cancel a consumer; see `Connection.cancel`."""
        consuming = subscription.channel
        assert isinstance(consuming, Consuming)
        rpc = consuming.rpc
        async with consuming.arranging:
            await rpc.call(lambda done: rpc.channel.basic_cancel(subscription.tag, callback=done))
        consuming.forget(subscription.tag)
        if subscription.leaves_nothing and rpc.channel.is_open:  # it closes with its connection
            rpc.channel.close()

    async def get(self, queue: str) -> Delivery | None:
        """Ask for a message; see `Connection.get`."""
        consuming = self._asked.get(queue)
        if consuming is None:
            consuming = await self._open_for_requests(queue)
        return await consuming.get(queue)

    async def _open_for_requests(self, queue: str) -> Consuming:
        def why(error: AmqpError) -> str:
            absent = isinstance(error, ChannelRefused) and error.code == _NOT_FOUND
            return missing(queue) if absent else str(error)

        async with self._opening:
            if queue not in self._asked:
                rpc = await self._channels.open()
                rpc.why = why
                self._asked[queue] = Consuming(rpc, self._stream)
        return self._asked[queue]

    def flush(self) -> None:
        """Send what is settled, before the connection is closed."""
        for consuming in (*self._shared.values(), *self._asked.values()):
            consuming.flush()

    async def _open(self, queue: str, *, of_stream: bool) -> Consuming:
        rpc = await self._channels.open(needed=False)
        rpc.channel.add_on_cancel_callback(lambda _: self._cancelled(queue))
        return Consuming(rpc, self._stream, of_stream=of_stream)


def _tapped(*_: object) -> None:
    """Pika will have somebody to give deliveries to, but they are tapped before they reach it."""
