"""Copies for history, on a live broker: each job once, and never at the price of what `mandatory` says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from tests.support import Broker, Management, eventually_async

from warren import topology
from warren.amqp.pika_engine import connect
from warren.amqp.seam import Connection, Delivery, Message, Returned
from warren.delay import route
from warren.errors import Unroutable
from warren.producer import Producer
from warren.recorder.backlog import backlog
from warren.task import named
from warren.topology import Binding, Names, Queue

T = TypeVar("T")


class Copies:
    """A broker with history being kept, in a queue of this test's beside the stream."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self.connection, self.names = connection, names
        self.seen: list[Delivery] = []

    async def open(self, *, keep: bool = True) -> None:
        await self.connection.declare(*topology.base(self.names), *topology.delays(self.names))
        await self.connection.declare(*topology.work_queue(self.names, "a"))
        if keep:
            await self.connection.declare(*backlog(self.names, 2_000_000))
            queue = self.names.reply("seen")
            await self.connection.declare(Queue(queue, exclusive=True), Binding(self.names.history.copies, queue, ""))
            await self.connection.consume(queue, self.seen.append, no_ack=True)

    async def publish(self, body: bytes, queue: str = "a", delay: float = 0.0) -> None:
        exchange, key = route(self.names, queue, delay) if delay else (self.names.jobs, queue)
        await self.connection.publish(Message(body, message_id=body.decode()), exchange, key)

    async def bodies(self, count: int) -> list[bytes]:
        """Wait for so many copies, and a marker after them; return the copies."""
        await self.connection.publish(Message(b"marker"), self.names.history.copies, "")
        await eventually_async(lambda: asyncio.sleep(0, any(one.message.body == b"marker" for one in self.seen)))
        found = [one.message.body for one in self.seen if one.message.body != b"marker"]
        assert len(found) == count
        return found


def scenario(broker: Broker, namespace: str, test: Callable[[Copies], Awaitable[None]], *, keep: bool = True) -> None:
    async def go() -> None:
        connection = await connect(broker.url, name="copies", heartbeat=30, timeout=30)
        copies = Copies(connection, Names(namespace))
        try:
            await copies.open(keep=keep)
            await test(copies)
        finally:
            await connection.close()

    asyncio.run(go())


def delete(broker: Broker, queue: str) -> None:
    management = Management(broker)
    management.call("DELETE", f"queues/{management.vhost}/{queue}")
    management.close()


def test_nobodys_copies_make_a_dead_letter_look_kept_that_is_not(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        connection, names = copies.connection, copies.names
        await connection.declare(*topology.workflows(names), *topology.schedules(names))
        letter = Message(b"letter", headers={"warren-workflow": "w", "warren-node": "n"})
        await connection.publish(letter, names.dead, "a")
        for queue in (names.dead, names.workflows, names.schedules):
            await eventually_async(lambda queue=queue: _ready(connection, queue, 1))  # type: ignore[misc]
        await connection.publish(Message(b"of no workflow"), names.dead, "a")
        await eventually_async(lambda: _ready(connection, names.schedules, 2))
        assert await _ready(connection, names.workflows, 1)
        await asyncio.to_thread(delete, broker, names.dead)
        with pytest.raises(Returned):
            await connection.publish(letter, names.dead, "a")
        await connection.declare(*topology.base(names))
        await connection.publish(letter, names.dead, "a")
        await eventually_async(lambda: _ready(connection, names.schedules, 3))

    scenario(broker, namespace, test)


def test_a_job_is_copied_once_and_a_delayed_one_where_it_enters(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        await copies.publish(b"now")
        await copies.publish(b"later", delay=0.7)  # 7 units: it waits at three levels
        work = copies.names.queue("a")
        await eventually_async(lambda: _ready(copies.connection, work, 2))
        assert await copies.bodies(2) == [b"now", b"later"]
        by = {one.message.body: (one.exchange, one.routing_key.rpartition(".")[2]) for one in copies.seen}
        assert by[b"now"] == (copies.names.jobs, "a")
        assert by[b"later"] == (copies.names.delay(2), "a")

    scenario(broker, namespace, test)


def test_a_job_for_a_deleted_queue_is_returned_though_history_is_kept(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        await copies.publish(b"before")
        await asyncio.to_thread(delete, broker, copies.names.queue("a"))
        with pytest.raises(Returned):
            await copies.publish(b"lost?")
        await copies.connection.declare(*topology.work_queue(copies.names, "a"))
        await copies.publish(b"after")
        assert await copies.bodies(2) == [b"before", b"after"]

    scenario(broker, namespace, test)


def test_a_dead_letter_is_copied_but_never_confirmed_by_its_copy_alone(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        dead = copies.names.dead
        await copies.connection.publish(Message(b"dead"), dead, "a")
        assert await copies.bodies(1) == [b"dead"]
        await asyncio.to_thread(delete, broker, dead)
        with pytest.raises(Returned):
            await copies.connection.publish(Message(b"lost?"), dead, "a")

    scenario(broker, namespace, test)


def test_without_anybody_who_keeps_history_nothing_piles_up(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        await copies.publish(b"now")
        await copies.publish(b"later", delay=0.1)
        await eventually_async(lambda: _ready(copies.connection, copies.names.queue("a"), 2))

    scenario(broker, namespace, test, keep=False)
    management = Management(broker)
    kept = management.names("queues", namespace)
    management.close()
    names = Names(namespace)
    plan = (*topology.base(names), *topology.delays(names), *topology.work_queue(names, "a"))
    assert sorted(kept) == sorted(item.name for item in plan if isinstance(item, Queue))


def test_a_producer_whose_queue_is_deleted_says_so_or_declares_it_anew(broker: Broker, namespace: str) -> None:
    async def test(copies: Copies) -> None:
        await asyncio.to_thread(enqueue_around_a_deleted_queue, broker, namespace)
        assert len(await copies.bodies(3)) == 3

    scenario(broker, namespace, test)


def enqueue_around_a_deleted_queue(broker: Broker, namespace: str) -> None:
    task = named("m:f", queue="b")
    with (
        Producer(url=broker.url, namespace=namespace) as declaring,
        Producer(url=broker.url, namespace=namespace, declare=False) as other,
    ):
        declaring.enqueue(task)
        other.enqueue(task)
        delete(broker, Names(namespace).queue("b"))
        with pytest.raises(Unroutable):
            other.enqueue(task)
        declaring.enqueue(task)
    management = Management(broker)
    assert Names(namespace).queue("b") in management.names("queues", namespace)
    management.close()


async def _ready(connection: Connection, queue: str, count: int) -> bool:
    depth = await connection.depth(queue)
    return depth is not None and depth.ready == count
