"""The publishing channel, where several threads and the loop meet in it."""

import asyncio
import threading
from typing import Any

from tests.common.amqp.harness import scenario

from warren.amqp.pika_publishing import Publishing
from warren.amqp.seam import ConnectionLost, Message
from warren.producer.io_thread import Waiter


class Channel:
    """pika's, which is open."""

    channel_number = 1
    is_open = True

    def add_on_return_callback(self, _: object) -> None: ...


class Rpc:
    """Asks nothing."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.on_fail: Any = None


class Stream:
    """Writes nothing; the channel closes while a thread writes, and the loop does not get the lock in time."""

    is_full = False
    reading = None

    def __init__(self, rpc: Rpc) -> None:
        self.lock = threading.Lock()
        self._rpc = rpc

    def hold(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise ConnectionLost("a publish was interrupted")

    def write(self, _: bytes) -> None: ...

    def write_now(self, _: bytes) -> None:
        self.publishing._failed = True  # and the rest of it comes later

    publishing: Any = None


@scenario
async def test_a_channel_that_closes_under_a_thread_tells_futures_on_the_loop() -> None:
    rpc: Any = Rpc()
    stream: Any = Stream(rpc)
    stream.publishing = publishing = Publishing(rpc, stream, 100_000)
    future, waiter = publishing.publish_soon([Message(b"")], "", "", mandatory=True), Waiter()
    assert await asyncio.to_thread(publishing.publish_from_thread, [Message(b"")], "", "", waiter)
    assert isinstance(waiter.error, ConnectionLost)
    assert not future.done()
    rpc.on_fail(ConnectionLost("cut"))
    assert isinstance(future.exception(), ConnectionLost)
