"""The consuming side of a pika connection: deliveries put together from their frames. Only touched from the loop."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_channels import Rpc
from warren.amqp.pika_frames import HEADER, METHOD
from warren.amqp.pika_stream import Stream
from warren.amqp.seam import Delivery, OnDelivery, Settle


@dataclass(slots=True, eq=False)
class Consumer:
    """One consumer; what crosses its cancel on the way is still its owner's."""

    queue: str
    on_delivery: OnDelivery


class Consuming:
    """A channel with consumers, its deliveries tapped; what each delivery carries as its channel."""

    def __init__(self, rpc: Rpc, stream: Stream) -> None:
        self.rpc = rpc
        self.cancelling = asyncio.Lock()
        """pika takes any cancel-ok of a channel for everybody's."""
        self._number = rpc.channel.channel_number
        self._stream = stream
        self._consumers: dict[bytes, Consumer] = {}
        # The delivery that has begun to arrive: its method, its header, its body so far and the bytes to come.
        self._method: tuple[bytes, int, bool, tuple[str, str]] | None = None
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0
        stream.taps[self._number] = self._tap

    async def open(self, prefetch: int, on_cancelled: Callable[[], None]) -> None:
        """Set how many deliveries each consumer holds; hear when the broker cancels one."""
        self.rpc.channel.add_on_cancel_callback(lambda _: on_cancelled())
        await self.rpc.call(lambda done: self.rpc.channel.basic_qos(prefetch_count=prefetch, callback=done))

    def add(self, consumer: Consumer) -> str:
        """Expect deliveries for a consumer; return the fresh tag it shall consume by."""
        tag = f"warren-{uuid.uuid4().hex}"
        self._consumers[tag.encode()] = consumer
        return tag

    def remove(self, tag: str) -> None:
        """Forget a consumer that gets nothing more."""
        self._consumers.pop(tag.encode(), None)

    def settle(self, tag: int, how: Settle) -> bool:
        """Settle a delivery; False when the channel is gone."""
        if not self.rpc.channel.is_open:
            return False
        self._stream.write(pika_frames.settle(self._number, tag, how))
        return True

    def _tap(self, kind: int, data: bytes, at: int, end: int) -> bool:
        if kind == METHOD:
            if pika_parsing.method(data, at) != pika_frames.DELIVER:
                return False
            self._method = pika_parsing.deliver(data, at, end)
            return True
        if kind == HEADER:
            self._header = data[at:end]
            self._missing = pika_parsing.body_size(data, at)
        else:
            self._body.append(data[at:end])
            self._missing -= end - at
        if not self._missing:
            self._complete()
        return True

    def _complete(self) -> None:
        assert self._method is not None
        consumer_tag, tag, redelivered, (exchange, routing_key) = self._method
        parts, self._body = self._body, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        consumer = self._consumers[consumer_tag]
        message = pika_parsing.message(self._header, 0, body)
        consumer.on_delivery(Delivery(message, consumer.queue, exchange, routing_key, redelivered, tag, self))
