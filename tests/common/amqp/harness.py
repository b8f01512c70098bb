"""What the tests of the engines share: one engine with its broker, an inbox, and a deadline around everything."""

import asyncio
import functools
import importlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec

import pika

from warren.amqp.seam import Connection, Delivery, Message, Settle
from warren.topology import Arguments, Binding, Exchange, Queue

P = ParamSpec("P")

DEADLINE_SECONDS = 30.0
QUORUM: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 20}


def scenario(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine function as a test, within a deadline."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 3 * DEADLINE_SECONDS))

    return run


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds that only asking can tell."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - a broker's counters announce nothing
            await asyncio.sleep(0.02)


async def error_of(future: Awaitable[object]) -> BaseException | None:
    """Return what a publish failed with, or None when it was confirmed."""
    return (await asyncio.wait_for(asyncio.gather(future, return_exceptions=True), DEADLINE_SECONDS))[0]  # type: ignore[return-value]


async def loss(connection: Connection) -> str:
    """Wait for the connection to be lost; return the reason."""
    return await asyncio.wait_for(asyncio.shield(connection.lost), DEADLINE_SECONDS)


class Inbox:
    """What a consumer was given and nobody has looked at yet."""

    def __init__(self) -> None:
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._deliveries.put_nowait(delivery)

    def __len__(self) -> int:
        return self._deliveries.qsize()

    async def next(self) -> Delivery:
        return await asyncio.wait_for(self._deliveries.get(), DEADLINE_SECONDS)

    async def take(self, connection: Connection, count: int) -> list[bytes]:
        """Acknowledge the next `count` deliveries; return their bodies."""
        bodies = []
        for _ in range(count):
            delivery = await self.next()
            assert connection.settle(delivery, Settle.ACK)
            bodies.append(delivery.message.body)
        return bodies


@dataclass(frozen=True)
class Side:
    """One engine under test, the broker it talks to, and a prefix that makes names on it unique."""

    engine: str
    url: str
    prefix: str

    def name(self, what: str) -> str:
        return f"{self.prefix}.{what}"

    async def open(self) -> Connection:
        engine = importlib.import_module(f"warren.amqp.{self.engine}")
        connection: Connection = await engine.connect(
            self.url, name="conformance", heartbeat=30, timeout=DEADLINE_SECONDS
        )
        return connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        connection = await self.open()
        try:
            yield connection
        finally:
            await connection.close()

    async def queue(self, connection: Connection, what: str = "queue", **arguments: str | int) -> Queue:
        """Declare a quorum queue and bind it, by its name, to the exchange `jobs`."""
        declared = Queue(self.name(what), {**QUORUM, **{key.replace("_", "-"): arguments[key] for key in arguments}})
        jobs = Exchange(self.name("jobs"), "direct")
        await connection.declare(jobs, declared, Binding(jobs.name, declared.name, declared.name))
        return declared

    async def send(self, connection: Connection, queue: Queue, *bodies: bytes) -> None:
        """Publish to a queue declared by `queue`, one confirmed after the other."""
        for body in bodies:
            message = Message(body, message_id=f"m{next(_ids)}")
            await asyncio.wait_for(connection.publish(message, self.name("jobs"), queue.name), DEADLINE_SECONDS)

    async def delete_queue(self, queue: Queue) -> None:
        """Delete a queue as an operator would."""
        if self.engine == "memory":
            memory = importlib.import_module("warren.amqp.memory")
            memory.delete_queue(self.url.removeprefix("memory://"), queue.name)
        else:
            await asyncio.to_thread(self._delete_over_amqp, queue)

    def _delete_over_amqp(self, queue: Queue) -> None:
        wire = pika.BlockingConnection(pika.URLParameters(self.url))
        wire.channel().queue_delete(queue.name)
        wire.close()


_ids = itertools.count(1)
