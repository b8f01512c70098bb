"""The seam without RabbitMQ: an in-memory broker for tests and for trying things out, at `memory://NAME`.

All connections of a process to the same name share one broker, whatever threads and event loops they belong to.
Everything is gone when the process ends. What a test may do to a broker: `block`, `drop`, `delete_queue`, `reset`.
"""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from warren.amqp.memory_broker import Broker
from warren.amqp.memory_queues import Consumer
from warren.amqp.seam import (
    AmqpError,
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
)
from warren.clock import wall
from warren.topology import Binding, Exchange, Queue

_SCHEME = "memory://"
_DEFAULT = "default"


async def connect(  # an engine's signature: there is no wire that could have a name, a heartbeat or a timeout
    url: str,
    *,
    name: str = "",  # noqa: ARG001
    heartbeat: int = 0,  # noqa: ARG001
    timeout: float = 0,  # noqa: ARG001
) -> Connection:
    """Open a connection to an in-memory broker, which is made when it does not exist.

    Args:
        url: `memory://NAME`; without a name it is the broker `default`.
        name: ignored.
        heartbeat: ignored.
        timeout: ignored.

    Raises:
        ConnectFailed: the URL is of another kind.
    """
    if not url.startswith(_SCHEME):
        raise ConnectFailed(f"{url!r} is not a memory:// URL", permanent=True)
    await _round_trip()
    return MemoryConnection(_hub(url.removeprefix(_SCHEME).strip("/")))


def reset(name: str = _DEFAULT) -> None:
    """Forget a broker with all that is in it; its connections are lost."""
    with _hubs_lock:
        hub = _hubs.pop(name or _DEFAULT, None)
    if hub is not None:
        hub.stop()


def block(name: str, on: bool) -> None:
    """Raise or clear an alarm: while it is on, publishes wait and connections are `blocked`."""
    _hub(name).block(on)


def drop(name: str) -> None:
    """Lose all connections, as a restart of the broker does: exclusive queues go, unsettled deliveries come back."""
    with _hub(name).working() as broker:
        broker.end_all("320 CONNECTION_FORCED - broker restarted")


def delete_queue(name: str, queue: str) -> None:
    """Delete a queue, as an operator can; connections that consume from it are lost."""
    with _hub(name).working() as broker:
        broker.delete_queue(queue)


@dataclass(frozen=True, slots=True, eq=False)
class _Publish:
    message: Message
    exchange: str
    routing_key: str
    mandatory: bool
    future: asyncio.Future[None]

    def conclude(self, error: AmqpError | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class MemoryConnection:
    """One connection to an in-memory broker. Only used from its own event loop; the broker calls back onto that."""

    def __init__(self, hub: "_Hub") -> None:
        self.loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self.loop.create_future()
        self._hub = hub
        self._held: list[_Publish] = []
        with hub.working() as broker:
            self.session = broker.open(lambda reason: self.call_soon(self._lose, reason))
            self.blocked = hub.blocked
            hub.connections[self] = None

    def publish(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> asyncio.Future[None]:
        # A wire would have made a copy, too.
        message = replace(message, headers=_copy(message.headers))
        publish = _Publish(message, exchange, routing_key, mandatory, self.loop.create_future())
        if (self.blocked or self._held) and not self.lost.done():
            self._held.append(publish)
        else:
            self._send(publish)
        return publish.future

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        prefetch: int = 1,
        no_ack: bool = False,
        offset: StreamOffset | None = None,
    ) -> Subscription:
        def hand_over(delivery: Delivery) -> None:
            self.call_soon(self._deliver, on_delivery, delivery)

        with self._hub.working() as broker:
            consumer = broker.consume(self.session, queue, hand_over, prefetch=prefetch, no_ack=no_ack, offset=offset)
        await _round_trip()
        return Subscription(queue, consumer, consumer.tag, leaves_nothing=consumer.leaves_nothing)

    async def cancel(self, subscription: Subscription) -> None:
        assert isinstance(subscription.channel, Consumer)
        with self._hub.working() as broker:
            broker.cancel(self.session, subscription.channel)
        await _round_trip()

    async def get(self, queue: str) -> Delivery | None:
        with self._hub.working() as broker:
            delivery = broker.get(self.session, queue)
        try:
            await _round_trip()
        except asyncio.CancelledError:
            if delivery is not None:
                self.settle(delivery, Settle.GIVE_BACK)
            raise
        return delivery

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        with self._hub.working() as broker:
            return broker.settle(self.session, delivery, how)

    async def declare(self, *items: Exchange | Queue | Binding) -> None:
        with self._hub.working() as broker:
            for item in items:
                broker.declare(self.session, item)
        await _round_trip()

    async def exists(self, item: Exchange | Queue) -> bool:
        await _round_trip()
        with self._hub.working() as broker:
            return broker.knows(self.session, item)

    async def depth(self, queue: str) -> Depth | None:
        await _round_trip()
        with self._hub.working() as broker:
            return broker.depth(self.session, queue)

    async def close(self) -> None:
        self._lose("closed by us")
        with self._hub.working() as broker:
            broker.end(self.session, "closed by us")
        await _round_trip()

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call on the connection's own loop; the hub ends the session when that loop is no more."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *arguments)

    def send_held(self) -> None:
        """Send what waited for the alarm to end."""
        held, self._held = self._held, []
        for publish in held:
            self._send(publish)

    def _send(self, publish: _Publish) -> None:
        error: AmqpError | None = None
        try:
            with self._hub.working() as broker:
                broker.publish(
                    self.session, publish.message, publish.exchange, publish.routing_key, mandatory=publish.mandatory
                )
        except AmqpError as refused:
            error = refused
        # No engine confirms before `publish` has returned.
        self.loop.call_soon(publish.conclude, error)

    def _deliver(self, on_delivery: OnDelivery, delivery: Delivery) -> None:
        if not self.lost.done():
            on_delivery(delivery)

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        held, self._held = self._held, []
        for publish in held:
            publish.conclude(ConnectionLost(reason))


class _Hub:
    """A broker shared by threads: the lock around it, its connections, and the thread that makes its time pass.

    The thread lives only while a message waits for its time.
    """

    def __init__(self) -> None:
        self.blocked = False
        self.connections: dict[MemoryConnection, None] = {}
        self._broker = Broker(wall)
        self._changed = threading.Condition()
        self._due = math.inf
        self._timekeeper: threading.Thread | None = None
        self._stopped = False

    @contextlib.contextmanager
    def working(self) -> Iterator[Broker]:
        """The only way to the broker: one thread at a time."""
        with self._changed:
            self._bury()
            try:
                yield self._broker
            finally:
                self._keep_time()

    def block(self, on: bool) -> None:
        with self._changed:
            self.blocked = on
            for connection in self.connections:
                connection.blocked = on
                if not on:
                    connection.call_soon(connection.send_held)

    def stop(self) -> None:
        with self.working() as broker:
            broker.end_all("320 CONNECTION_FORCED - broker forgotten")
            self._stopped = True
            self._changed.notify()

    def _bury(self) -> None:
        """Forget the connections that ended, and those whose event loop did without closing them: nobody else would."""
        for connection in tuple(self.connections):
            if connection.loop.is_closed():
                self._broker.end(connection.session, "its event loop is closed")
            if connection.session.ended is not None:
                del self.connections[connection]

    def _keep_time(self) -> None:
        due = self._broker.flow.next_due
        if due == self._due:
            return
        self._due = due
        if self._timekeeper is None and due < math.inf:
            self._timekeeper = threading.Thread(target=self._pass_time, name="memory-broker", daemon=True)
            self._timekeeper.start()
        self._changed.notify()

    def _pass_time(self) -> None:
        with self._changed:
            while self._due < math.inf and not self._stopped:
                wait = self._due - wall()
                if wait > 0:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
                else:
                    self._broker.flow.advance()
                    self._due = self._broker.flow.next_due
            self._timekeeper = None


_hubs: dict[str, _Hub] = {}
_hubs_lock = threading.Lock()


def _hub(name: str) -> _Hub:
    with _hubs_lock:
        return _hubs.setdefault(name or _DEFAULT, _Hub())


async def _round_trip() -> None:
    """Let the loop turn once, as a wait for the broker's answer would: deliveries may come before it."""
    await asyncio.sleep(0)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
