"""The consuming side of a pika connection: deliveries put together from their frames. Only touched from the loop."""

import uuid
from dataclasses import dataclass
from typing import Any

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_channels import Rpc
from warren.amqp.pika_frames import HEADER, METHOD
from warren.amqp.pika_stream import Stream
from warren.amqp.seam import Delivery, OnDelivery, Settle


@dataclass(slots=True, eq=False)
class Consumer:
    """One consumer; `wanted` until it is being cancelled."""

    queue: str
    on_delivery: OnDelivery
    no_ack: bool
    wanted: bool = True


class Consuming:
    """A channel with consumers, its deliveries tapped; what each delivery carries as its channel."""

    def __init__(self, rpc: Rpc, stream: Stream) -> None:
        self.rpc = rpc
        self._number = rpc.channel.channel_number
        self._stream = stream
        self._consumers: dict[bytes, Consumer] = {}
        # The delivery that has begun to arrive: its method, its header, its body so far and the bytes to come.
        self._method: tuple[bytes, int, bool, tuple[str, str]] | None = None
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0
        stream.taps[self._number] = self._tap

    def add(self, consumer: Consumer) -> str:
        """Expect deliveries for a consumer; return the fresh tag it shall consume by."""
        tag = f"warren-{uuid.uuid4().hex}"
        self._consumers[tag.encode()] = consumer
        return tag

    def of(self, tag: str) -> Consumer:
        """Return the consumer of a tag."""
        return self._consumers[tag.encode()]

    def forget(self, tag: str) -> None:
        """Drop a consumer that the broker has cancelled for us: nothing more comes for it."""
        del self._consumers[tag.encode()]

    def queue_of(self, cancel: Any) -> str:
        """Return the queue whose consumer a broker's cancel is about."""
        return self.of(cancel.method.consumer_tag).queue

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
        if consumer.wanted:
            message = pika_parsing.message(self._header, 0, body)
            consumer.on_delivery(Delivery(message, consumer.queue, exchange, routing_key, redelivered, tag, self))
        elif not consumer.no_ack:
            self.settle(tag, Settle.GIVE_BACK)  # it crossed our cancel on the way
