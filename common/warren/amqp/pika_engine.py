"""The seam on pika's asyncio adapter: callbacks in, futures out; about 45 µs of CPU a message."""

import asyncio
from collections.abc import Callable
from typing import Any

import pika
import pika.exceptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from warren.amqp.pika_values import ABSENT, channel_error, connect_failed, declaration, message_of, properties
from warren.amqp.seam import (
    AmqpError,
    ChannelRefused,
    ConnectFailed,
    Connection,
    ConnectionLost,
    Delivery,
    Depth,
    Message,
    Nacked,
    OnDelivery,
    Returned,
    Settle,
    StreamOffset,
    Subscription,
    cancelled,
)
from warren.amqp.streams import offset_argument
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
    """One pika connection: a channel to publish on, one to declare on, one for each consumer."""

    def __init__(self, parameters: pika.URLParameters, loop: asyncio.AbstractEventLoop) -> None:
        self.lost: asyncio.Future[str] = loop.create_future()
        self.blocked = False
        self._loop = loop
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._wire = wire = AsyncioConnection(
            parameters, self._on_open, self._on_open_error, self._on_closed, custom_ioloop=loop
        )
        self._channels = _Channels(wire, self.lost)
        self._publishing: _Publishing | None = None
        wire.add_on_connection_blocked_callback(lambda *_: self._set_blocked(on=True))
        wire.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(on=False))

    async def open(self) -> None:
        """Wait for the handshake, then open the channel that publishes, in confirm mode."""
        await self._opened
        rpc = await self._channels.open()
        self._publishing = publishing = _Publishing(rpc, self._loop)
        await rpc.call(lambda done: rpc.channel.confirm_delivery(publishing.confirmed, callback=done))

    def publish(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> asyncio.Future[None]:
        assert self._publishing is not None
        if self.lost.done():
            future: asyncio.Future[None] = self._loop.create_future()
            future.set_exception(ConnectionLost(self.lost.result()))
            return future
        return self._publishing.publish(message, exchange, routing_key, mandatory=mandatory)

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        prefetch: int = 1,
        no_ack: bool = False,
        offset: StreamOffset | None = None,
    ) -> Subscription:
        rpc = await self._channels.open(needed=False)
        channel = rpc.channel
        channel.add_on_cancel_callback(lambda _: self._lose(cancelled(queue)))
        await rpc.call(lambda done: channel.basic_qos(prefetch_count=prefetch, callback=done))

        def on_message(_: Channel, method: Any, had: pika.BasicProperties, body: bytes) -> None:
            on_delivery(
                Delivery(
                    message_of(had, body),
                    queue,
                    method.exchange,
                    method.routing_key,
                    method.redelivered,
                    method.delivery_tag,
                    channel,
                )
            )

        frame = await rpc.call(
            lambda done: channel.basic_consume(
                queue, on_message, auto_ack=no_ack, arguments=offset_argument(offset), callback=done
            )
        )
        rpc.needed = True  # a refused consumer is no loss, one that ends is
        return Subscription(queue, rpc, frame.method.consumer_tag, no_ack or offset is not None)

    async def cancel(self, subscription: Subscription) -> None:
        rpc = subscription.channel
        assert isinstance(rpc, _Rpc)
        if not self.lost.done():
            await rpc.call(lambda done: rpc.channel.basic_cancel(subscription.tag, callback=done))
            if subscription.leaves_nothing and rpc.channel.is_open:  # it closes with its connection
                rpc.channel.close()

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        channel = delivery.channel
        assert isinstance(channel, Channel)
        if self.lost.done() or not channel.is_open:
            return False
        if how is Settle.ACK:
            channel.basic_ack(delivery.tag)
        elif how is Settle.GIVE_BACK:
            channel.basic_nack(delivery.tag, requeue=True)
        else:
            channel.basic_reject(delivery.tag, requeue=True)
        return True

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
        if self._wire.is_open:  # closed in the middle of its handshake, pika fails an assertion of its own
            self._wire.close()

    def _on_open(self, _: object) -> None:
        if self.lost.done():
            self._wire.close()
        elif not self._opened.done():
            self._opened.set_result(None)

    def _on_open_error(self, _: object, error: BaseException) -> None:
        self._on_closed(None, error)
        if not self._opened.done():
            self._opened.set_exception(connect_failed(error))

    def _on_closed(self, _: object, reason: BaseException) -> None:
        self._lose(str(reason) or type(reason).__name__)
        if not self._closed.done():
            self._closed.set_result(None)

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def _set_blocked(self, *, on: bool) -> None:
        self.blocked = on


class _Channels:
    """Opens a connection's channels and hears of their ends. Only touched from the loop."""

    def __init__(self, wire: AsyncioConnection, lost: "asyncio.Future[str]") -> None:
        self._wire = wire
        self._lost = lost
        self._admin: _Rpc | None = None

    async def admin(self) -> "_Rpc":
        """The channel for declaring and asking; the broker closes it over every no, so it is opened anew when needed."""
        if self._admin is None or not self._admin.channel.is_open:
            self._admin = await self.open(needed=False)
        return self._admin

    async def open(self, *, needed: bool = True) -> "_Rpc":
        """Open a channel; the unasked end of one that is needed is the loss of the connection."""
        if self._lost.done():
            raise ConnectionLost(self._lost.result())
        opened: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        try:
            rpc = _Rpc(self._wire.channel(on_open_callback=_resolve(opened)), opened, needed=needed)
        except pika.exceptions.AMQPError as error:
            raise ConnectionLost(str(error)) from error
        rpc.channel.add_on_close_callback(lambda _, reason: self._closed(rpc, reason))
        await rpc.wait(opened)
        return rpc

    def _closed(self, rpc: "_Rpc", reason: BaseException) -> None:
        error = channel_error(reason)
        rpc.fail(error)
        ours = isinstance(reason, pika.exceptions.ChannelClosedByClient)
        if rpc.needed and not ours and not self._lost.done():
            self._lost.set_result(str(error))


class _Rpc:
    """A channel and the answers that are waited for on it; a closing channel fails them all."""

    def __init__(self, channel: Channel, opened: "asyncio.Future[object]", *, needed: bool) -> None:
        self.channel = channel
        self.needed = needed
        self.on_fail: Callable[[AmqpError], None] = lambda _: None
        self._waiting: set[asyncio.Future[Any]] = {opened}

    async def call(self, send: Callable[[Callable[[Any], None]], object]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        try:
            send(_resolve(answer))
        except pika.exceptions.AMQPError as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error
        return await self.wait(answer)

    async def wait(self, answer: "asyncio.Future[Any]") -> Any:
        try:
            return await answer
        finally:
            self._waiting.discard(answer)

    def fail(self, error: AmqpError) -> None:
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)
        self.on_fail(error)


class _Publishing:
    """The publishing channel: which delivery tag belongs to which future. Only touched from the loop."""

    def __init__(self, rpc: _Rpc, loop: asyncio.AbstractEventLoop) -> None:
        self.rpc = rpc
        self._loop = loop
        self._last_tag = 0
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        rpc.on_fail = self._fail
        rpc.channel.add_on_return_callback(self._returned)

    def publish(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            self.rpc.channel.basic_publish(exchange, routing_key, message.body, properties(message), mandatory)
        except pika.exceptions.AMQPError as error:
            future.set_exception(ConnectionLost(str(error) or type(error).__name__))
            return future
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = _Unconfirmed(future, (message.message_id, exchange, routing_key))
        return future

    def confirmed(self, frame: Any) -> None:
        method = frame.method
        tag = method.delivery_tag
        tags = [known for known in self._unconfirmed if known <= tag] if method.multiple else [tag]
        for known in tags:
            if (waiting := self._unconfirmed.pop(known, None)) is not None:
                waiting.conclude(acked=isinstance(method, pika.spec.Basic.Ack))

    def _fail(self, error: AmqpError) -> None:
        waiting, self._unconfirmed = self._unconfirmed, {}
        if len(waiting) > 1 and isinstance(error, ChannelRefused):
            # The refusal was for one of them, and nobody says which.
            error = ConnectionLost(f"the channel was closed over a publish, perhaps another one: {error}")
        for publish in waiting.values():
            if not publish.future.done():
                publish.future.set_exception(error)

    def _returned(self, _: Channel, method: Any, had: pika.BasicProperties, __: bytes) -> None:
        # The broker sends a message back just before it confirms it, and does not say which tag that was.
        key = (had.message_id, method.exchange, method.routing_key)
        for waiting in self._unconfirmed.values():
            if waiting.key == key and waiting.returned is None:
                waiting.returned = f"{method.reply_code} {method.reply_text}"
                return


class _Unconfirmed:
    __slots__ = ("future", "key", "returned")

    def __init__(self, future: "asyncio.Future[None]", key: tuple[str | None, str, str]) -> None:
        self.future = future
        self.key = key
        self.returned: str | None = None

    def conclude(self, *, acked: bool) -> None:
        if self.future.done():
            return
        if self.returned is not None:
            self.future.set_exception(Returned(self.returned))
        elif acked:
            self.future.set_result(None)
        else:
            self.future.set_exception(Nacked("the broker refused the message"))


def _resolve(future: "asyncio.Future[Any]") -> Callable[..., None]:
    def done(*answer: object) -> None:
        if not future.done():
            future.set_result(answer[0] if answer else None)

    return done
