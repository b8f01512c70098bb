"""The seam on aio-pika: comfortable inside an application's own event loop; about 250 µs of CPU a message.

A plain connection, never a robust one: reconnecting is the owner's, with queues and consumers declared anew. Consumers are
registered on the channel below aio-pika's, because only that one says when the broker cancels a consumer, and because
aio-pika cancels its own callbacks when a connection is lost.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import aio_pika
import aiormq.abc
import aiormq.exceptions
from aio_pika.abc import AbstractChannel, AbstractConnection

from warren.amqp.aio_pika_values import declaration, delivery_got, delivery_of, message_properties, translated
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
    missing,
)
from warren.amqp.streams import offset_argument
from warren.topology import Binding, Exchange, Queue

T = TypeVar("T")

_CLOSE_SECONDS = 2.0
_REFUSED_FOR_GOOD = ("ACCESS_REFUSED", "NOT_ALLOWED")
"""Wrong credentials; a vhost that is missing or not ours."""
_ABSENT = frozenset({403, 404})
"""RabbitMQ 4.3 answers 403 to a passive look at a missing name when the user has no rights on it."""


async def connect(url: str, *, name: str, heartbeat: int, timeout: float) -> Connection:
    """Open a connection and its publishing channel.

    Args:
        url: `amqp://` or `amqps://`, in aio-pika's form.
        name: shown by the broker's management page.
        heartbeat: seconds.
        timeout: seconds for the whole of it.

    Raises:
        ConnectFailed: refused, unreachable, or not in time.
    """
    try:
        async with asyncio.timeout(timeout):
            wire = await aio_pika.connect(
                url, client_properties={"connection_name": name}, heartbeat=heartbeat, timeout=timeout
            )
            connection = AioPikaConnection(wire)
            try:
                await connection.open_publishing()
            except BaseException:
                await connection.close()
                raise
    except TimeoutError:
        raise ConnectFailed(f"no answer within {timeout:g} s") from None
    except (aiormq.exceptions.AMQPError, OSError) as error:
        said = str(error) or type(error).__name__
        raise ConnectFailed(said, permanent=any(word in said for word in _REFUSED_FOR_GOOD)) from error
    return connection


class AioPikaConnection:
    """One aio-pika connection: a channel to publish on, one to declare on, and those of the consumers.

    Consumers of one queue share a channel: what they brought can be settled when they are cancelled, so it stays open. One that
    leaves nothing to settle has its own, which is closed with it.
    """

    def __init__(self, wire: AbstractConnection) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._wire = wire
        self._publishing: aiormq.abc.AbstractChannel | None = None
        self._channels = _Channels(wire, self.lost)
        self._shared: dict[str, aiormq.abc.AbstractChannel] = {}
        """The consumers' channels, by queue."""
        self._consuming = asyncio.Lock()
        self._of_streams: set[aiormq.abc.AbstractChannel] = set()
        self._asked: dict[str, aiormq.abc.AbstractChannel] = {}
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Future[Any]] = set()  # asyncio itself holds tasks weakly
        self._settling: set[asyncio.Future[Any]] = set()  # acks not written yet
        self._in_flight = 0
        self._crowded = False
        self._publishing_ids: dict[str, asyncio.Future[None]] = {}

    @property
    def blocked(self) -> bool:
        transport = self._wire.transport
        if transport is None or self.lost.done():
            return False
        # aiormq tells it only by letting `ready` wait: take one step of it and see whether it does.
        ready = transport.connection.ready()
        try:
            ready.send(None)
        except StopIteration:
            return False
        ready.close()
        return True

    async def open_publishing(self) -> None:
        """Open the channel that publishes, in confirm mode."""
        self._publishing = await self._channels.open()

    def publish(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> asyncio.Future[None]:
        sent = self._start(self._publish(message, exchange, routing_key, mandatory=mandatory))
        sent.add_done_callback(_look_at_error)
        return sent

    async def _publish(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        assert self._publishing is not None
        # aiormq credits a returned message to the newest publish of the same message_id: never have two in flight.
        identity = message.message_id
        while identity is not None and (before := self._publishing_ids.get(identity)) is not None:
            await asyncio.wait([before])
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if identity is not None:
            self._publishing_ids[identity] = turn
        self._in_flight += 1
        try:
            await self._channels.guard(
                self._publishing.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message_properties(message),
                    mandatory=mandatory,
                )
            )
        except ChannelRefused as error:
            # The refusal was for one of those in flight, and nobody says which.
            self._crowded = self._crowded or self._in_flight > 1
            if self._crowded:
                raise ConnectionLost(f"the channel was closed over a publish, perhaps another one: {error}") from error
            raise
        finally:
            self._in_flight -= 1
            turn.set_result(None)
            if identity is not None:
                del self._publishing_ids[identity]

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        prefetch: int = 1,
        no_ack: bool = False,
        offset: StreamOffset | None = None,
    ) -> Subscription:
        leaves_nothing = no_ack or offset is not None
        shared = None if leaves_nothing else self._shared.get(queue)
        channel = await self._open_consuming(queue) if shared is None or shared.is_closed else shared

        if offset is not None:
            self._of_streams.add(channel)

        async def on_message(message: aiormq.abc.DeliveredMessage) -> None:
            on_delivery(delivery_of(message, queue, channel))

        try:
            async with self._consuming:  # a channel's prefetch is that of the consumers opened after it
                await self._channels.guard(channel.basic_qos(prefetch_count=prefetch))
                consuming = await self._channels.guard(
                    channel.basic_consume(queue, on_message, no_ack=no_ack, arguments=_arguments(offset))
                )
        except AmqpError:
            self._of_streams.discard(channel)
            raise
        self._channels.needed.add(channel)  # a refused consumer is no loss, one that ends is
        if not leaves_nothing:
            self._shared[queue] = channel
        return Subscription(queue, channel, str(consuming.consumer_tag), leaves_nothing)

    async def _open_consuming(self, queue: str) -> aiormq.abc.AbstractChannel:
        async def on_cancel(_: object) -> None:
            self._channels.lose(cancelled(queue))

        channel = await self._channels.open(needed=False)
        channel.on_consumer_cancel_callbacks.add(on_cancel)
        return channel

    async def cancel(self, subscription: Subscription) -> None:
        channel = subscription.channel
        assert isinstance(channel, aiormq.abc.AbstractChannel)
        if not self.lost.done():
            await self._channels.guard(channel.basic_cancel(subscription.tag))
            if subscription.leaves_nothing:
                self._channels.needed.discard(channel)
                self._of_streams.discard(channel)
                await self._channels.guard(channel.close())

    async def get(self, queue: str) -> Delivery | None:
        async with self._opening:
            if queue not in self._asked:
                self._asked[queue] = await self._channels.open(why=partial(_why_unasked, queue))
        # In a task of its own: what was got for somebody who was cancelled must be known, to go back.
        asking = self._start(self._channels.guard(self._asked[queue].basic_get(queue)))
        try:
            got = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(partial(self._give_back_got, queue))
            raise
        return delivery_got(got, queue, self._asked[queue])

    def _give_back_got(self, queue: str, asking: "asyncio.Future[aiormq.abc.DeliveredMessage]") -> None:
        if asking.cancelled() or asking.exception() is not None:
            return
        delivery = delivery_got(asking.result(), queue, self._asked[queue])
        if delivery is not None:
            self.settle(delivery, Settle.GIVE_BACK)

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        channel = delivery.channel
        assert isinstance(channel, aiormq.abc.AbstractChannel)
        if self.lost.done() or channel.is_closed:
            return False
        done: Any
        if how is Settle.ACK:
            done = channel.basic_ack(delivery.tag, multiple=channel in self._of_streams, wait=False)
        elif how is Settle.GIVE_BACK:
            done = channel.basic_nack(delivery.tag, requeue=True, wait=False)
        else:
            done = channel.basic_reject(delivery.tag, requeue=True, wait=False)
        settling = self._start(done)
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        settling.add_done_callback(_look_at_error)
        return True

    async def declare(self, *items: Exchange | Queue | Binding) -> None:
        for item in items:
            channel = await self._channels.admin()
            await self._channels.guard(declaration(channel, item))

    async def exists(self, item: Exchange | Queue) -> bool:
        if isinstance(item, Queue):
            return await self.depth(item.name) is not None
        channel = await self._channels.admin()
        try:
            await self._channels.guard(channel.exchange_declare(item.name, exchange_type=item.kind, passive=True))
        except ChannelRefused as refused:
            if refused.code in _ABSENT:
                return False
            raise
        return True

    async def depth(self, queue: str) -> Depth | None:
        channel = await self._channels.admin()
        try:
            found = await self._channels.guard(channel.queue_declare(queue, passive=True))
        except ChannelRefused as refused:
            if refused.code in _ABSENT:
                return None
            raise
        return Depth(found.message_count or 0, found.consumer_count or 0)

    async def close(self) -> None:
        if self._settling and not self.lost.done():
            await asyncio.wait(self._settling, timeout=_CLOSE_SECONDS)
        if not self.lost.done():
            self.lost.set_result("closed by us")
        await asyncio.wait([asyncio.ensure_future(self._wire.close())], timeout=_CLOSE_SECONDS)
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Channels:
    """Opens a connection's channels, hears of their ends, and translates what calls on them raise."""

    def __init__(self, wire: AbstractConnection, lost: "asyncio.Future[str]") -> None:
        self.needed: set[aiormq.abc.AbstractChannel] = set()
        """Channels whose unasked end is the loss of the connection."""
        self._wire = wire
        self._lost = lost
        self._admin: AbstractChannel | None = None
        wire.close_callbacks.add(lambda _, error: self.lose(error))

    async def admin(self) -> aiormq.abc.AbstractChannel:
        """The channel for declaring and asking; the broker closes it over every no, so it is opened anew when needed."""
        if self._admin is None or self._admin.is_closed:
            self._admin = await self._new()
        return await self._admin.get_underlay_channel()

    async def open(
        self, *, needed: bool = True, why: Callable[[object], object] = lambda error: error
    ) -> aiormq.abc.AbstractChannel:
        """Open a channel; the unasked end of one that is needed is the loss of the connection, and `why` says what for."""
        channel = await self._new()
        wire = await channel.get_underlay_channel()
        if needed:
            self.needed.add(wire)
        channel.close_callbacks.add(lambda _, error: self.lose(why(error)) if wire in self.needed else None)
        return wire

    async def guard(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call of the library's and translate what it raises."""
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling() and not self._lost.done():
                raise
            # aiormq cancels its waiters when the heartbeat is missed: that is a loss, not our being cancelled.
            raise ConnectionLost("the connection was lost") from None
        except Exception as error:
            raise translated(error) from error

    def lose(self, error: object) -> None:
        """Resolve `lost`, once."""
        if not self._lost.done():
            self._lost.set_result(str(error) or type(error).__name__)

    async def _new(self) -> AbstractChannel:
        if self._lost.done():
            raise ConnectionLost(self._lost.result())
        channel = self._wire.channel(publisher_confirms=True, on_return_raises=True)
        await self.guard(channel.initialize())
        return channel


def _look_at_error(done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and isinstance(done.exception(), AmqpError):
        return  # whoever awaits it is told; a lost settle shows as `lost`


def _arguments(offset: StreamOffset | None) -> Any:
    return offset_argument(offset)


def _why_unasked(queue: str, error: object) -> object:
    return missing(queue) if isinstance(error, aiormq.exceptions.ChannelNotFoundEntity) else error
