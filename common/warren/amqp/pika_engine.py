"""The seam on pika's asyncio connection: callbacks in, futures out; 15 to 30 µs of CPU a message."""

import asyncio
from typing import Any

import pika
import pika.spec
from pika.adapters.asyncio_connection import AsyncioConnection

from warren.amqp.pika_channels import Channels
from warren.amqp.pika_consuming import Consumers, Consuming
from warren.amqp.pika_frames import OVERHEAD
from warren.amqp.pika_publishing import Publishing
from warren.amqp.pika_stream import IoServices
from warren.amqp.pika_values import ABSENT, connect_failed, declaration
from warren.amqp.seam import (
    AmqpError,
    ChannelRefused,
    ConnectFailed,
    Connection,
    ConnectionLost,
    Delivery,
    Depth,
    Message,
    OnDelivery,
    Settle,
    StreamOffset,
    Subscription,
    cancelled,
)
from warren.topology import Binding, Exchange, Queue

_CLOSE_SECONDS = 2.0


async def connect(url: str, *, name: str, heartbeat: int, timeout: float) -> Connection:
    """Open a connection and its publishing channel.

    Args:
        url: `amqp://` or `amqps://`, in pika's URLParameters form.
        name: shown by the broker's management page.
        heartbeat: seconds.
        timeout: seconds for the whole of it.

    Raises:
        ConnectFailed: refused, unreachable, or not in time.
    """
    parameters = pika.URLParameters(url)
    parameters.heartbeat = heartbeat
    parameters.client_properties = {"connection_name": name}
    parameters.stack_timeout = timeout  # ends by itself what is abandoned before it opened
    connection = PikaConnection(parameters, asyncio.get_running_loop())
    try:
        async with asyncio.timeout(timeout):
            await connection.open()
    except BaseException as error:
        connection.abandon()
        if isinstance(error, asyncio.CancelledError):
            await connection.close()  # the loop may end with this task
        if isinstance(error, TimeoutError):
            raise ConnectFailed(f"no answer within {timeout:g} s") from None
        if isinstance(error, AmqpError):
            raise ConnectFailed(str(error), permanent=getattr(error, "permanent", False)) from error
        raise
    return connection


class PikaConnection:
    """One pika connection: a channel to publish on, one to declare on, one for the consumers of each queue."""

    def __init__(self, parameters: pika.URLParameters, loop: asyncio.AbstractEventLoop) -> None:
        self.lost: asyncio.Future[str] = loop.create_future()
        self.blocked = False
        self._loop = loop
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._services = IoServices(loop)
        self._wire = wire = AsyncioConnection(
            parameters, self._on_open, self._on_closed, self._on_closed, custom_ioloop=self._services
        )
        self._channels = Channels(wire, self.lost)
        self._publishing: Publishing | None = None
        self._consumers: Consumers | None = None

        def blocked(_: object, frame: Any) -> None:
            self.blocked = isinstance(frame.method, pika.spec.Connection.Blocked)

        wire.add_on_connection_blocked_callback(blocked)
        wire.add_on_connection_unblocked_callback(blocked)

    async def open(self) -> None:
        """Wait for the handshake, then open the channel that publishes, in confirm mode."""
        await self._opened
        stream, rpc = self._services.opened, await self._channels.open()
        self._consumers = Consumers(self._channels, stream, lambda queue: self._lose(cancelled(queue)))
        self._publishing = Publishing(rpc, stream, self._wire.params.frame_max - OVERHEAD)
        await self._publishing.open()

    def publish(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> asyncio.Future[None]:
        if self.lost.done():
            future: asyncio.Future[None] = self._loop.create_future()
            future.set_exception(ConnectionLost(self.lost.result()))
            return future
        return self.together.publish_soon((message,), exchange, routing_key, mandatory=mandatory)

    @property
    def together(self) -> Publishing:
        assert self._publishing is not None
        return self._publishing

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        prefetch: int = 1,
        no_ack: bool = False,
        offset: StreamOffset | None = None,
    ) -> Subscription:
        assert self._consumers is not None
        return await self._consumers.consume(queue, on_delivery, prefetch=prefetch, no_ack=no_ack, offset=offset)

    async def cancel(self, subscription: Subscription) -> None:
        assert self._consumers is not None
        if not self.lost.done():
            await self._consumers.cancel(subscription)

    async def get(self, queue: str) -> Delivery | None:
        assert self._consumers is not None
        return await self._consumers.get(queue)

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        consuming = delivery.channel
        assert isinstance(consuming, Consuming)
        return not self.lost.done() and consuming.settle(delivery.tag, how)

    async def declare(self, *items: Exchange | Queue | Binding) -> None:
        for item in items:
            rpc = await self._channels.admin()
            await rpc.call(declaration(rpc.channel, item))

    async def exists(self, item: Exchange | Queue) -> bool:
        if isinstance(item, Queue):
            return await self.depth(item.name) is not None
        rpc = await self._channels.admin()
        try:
            await rpc.call(lambda done: rpc.channel.exchange_declare(item.name, item.kind, passive=True, callback=done))
        except ChannelRefused as refused:
            if refused.code in ABSENT:
                return False
            raise
        return True

    async def depth(self, queue: str) -> Depth | None:
        rpc = await self._channels.admin()
        try:
            frame = await rpc.call(lambda done: rpc.channel.queue_declare(queue, passive=True, callback=done))
        except ChannelRefused as refused:
            if refused.code in ABSENT:
                return None
            raise
        return Depth(frame.method.message_count, frame.method.consumer_count)

    async def close(self) -> None:
        self.abandon()
        await asyncio.wait([self._closed], timeout=_CLOSE_SECONDS)

    def abandon(self) -> None:
        """Begin to close, without waiting for it."""
        self._lose("closed by us")
        if self._consumers is not None:
            self._consumers.flush()
        if self._wire.is_open:  # closed in the middle of its handshake, pika fails an assertion of its own
            self._wire.close()

    def _on_open(self, _: object) -> None:
        if self.lost.done():
            self._wire.close()
        elif not self._opened.done():
            self._opened.set_result(None)

    def _on_closed(self, _: object, reason: BaseException) -> None:
        """It has ended, or could not be opened."""
        self._lose(str(reason) or type(reason).__name__)
        if not self._opened.done():
            self._opened.set_exception(connect_failed(reason))
        if not self._closed.done():
            self._closed.set_result(None)

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
