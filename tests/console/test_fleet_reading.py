"""Hearing of workers from the stream, on the broker in memory."""

import asyncio
import time

import pytest
from tests.console.fleets import a_status, tell

from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection, Message
from warren.console.fleet_reading import following, survey
from warren.errors import BrokerUnavailable
from warren.status import WorkerStatus
from warren.topology import Exchange, Names, Queue, workers

NAMES = Names("ns")


async def connect(name: str) -> Connection:
    return await connect_any((f"memory://{name}",), "pika", name="test", heartbeat=30, timeout=5)


def test_whoever_asks_hears_all_that_was_said_lately(memory_name: str) -> None:
    async def scene() -> list[str]:
        connection, now = await connect(memory_name), time.time()
        said = [a_status(name, at=now - age) for name, age in (("a", 3.0), ("b", 20.0), ("old", 100.0))]
        await tell(connection, "ns", *said)
        await connection.publish(Message(b"nonsense"), NAMES.workers, "", mandatory=False)
        fleet = await survey(connection, NAMES, keep=60, timeout=5)
        return [member.status.name for member in fleet.members(now)]

    assert asyncio.run(scene()) == ["a", "b"]


def test_where_no_worker_ever_was_there_is_none(memory_name: str) -> None:
    async def scene() -> int:
        fleet = await survey(await connect(memory_name), NAMES, keep=60, timeout=5)
        return len(fleet.members(time.time()))

    assert asyncio.run(scene()) == 0


def test_a_stream_that_does_not_answer_is_an_error_in_time(memory_name: str) -> None:
    async def scene() -> None:
        connection = await connect(memory_name)
        exchange, stream, _ = workers(NAMES)  # without the binding no marker comes back
        assert isinstance(exchange, Exchange)
        assert isinstance(stream, Queue)
        await connection.declare(exchange, stream)
        with pytest.raises(BrokerUnavailable, match=r"within 0\.2 s"):
            await survey(connection, NAMES, keep=60, timeout=0.2)

    asyncio.run(scene())


def test_who_follows_hears_what_was_said_before_and_what_comes(memory_name: str) -> None:
    async def scene() -> list[str]:
        connection, heard = await connect(memory_name), list[WorkerStatus]()
        new = asyncio.Event()

        def hear(status: WorkerStatus) -> None:
            heard.append(status)
            if len(heard) == 2:
                new.set()

        await tell(connection, "ns", a_status("before", at=time.time()))
        async with following(connection, NAMES, 60, hear):
            await tell(connection, "ns", a_status("after", at=time.time()))
            async with asyncio.timeout(20):
                await new.wait()
        return [status.name for status in heard]

    assert asyncio.run(scene()) == ["before", "after"]
