"""Replaying and dropping, on the in-memory broker: nothing is removed that is not safe elsewhere."""

import asyncio
from typing import Any

import pytest
from tests.console.executable import buried, undecodable

from warren import topology
from warren.amqp import memory
from warren.amqp.seam import Connection, ConnectionLost, Delivery, Message, Settle
from warren.console import dead_acting
from warren.console.dead_acting import Tally, Work
from warren.console.dead_reading import Wanted
from warren.errors import BrokerUnavailable
from warren.job import from_message
from warren.producer.publishing import Publisher
from warren.settings import Settings
from warren.topology import Names

NAMES = Names()
ALL = Work(Wanted())


def settings(name: str, **more: Any) -> Settings:
    return Settings(url=f"memory://{name}", publish_timeout=30.0, **more)


def told(done: int, total: int | None = None, failed: int = 0) -> None:
    """Nobody looks at the progress."""


async def prepare(name: str, *letters: Message) -> Connection:
    connection = await memory.connect(f"memory://{name}")
    await connection.declare(*topology.base(NAMES))
    for letter in letters:
        await connection.publish(letter, NAMES.dead, "default")
    return connection


async def waiting(connection: Connection, queue: str) -> list[Delivery]:
    """Take everything out of a queue."""
    depth, found = await connection.depth(queue), list[Delivery]()
    if depth is None or depth.ready == 0:
        return []
    enough = asyncio.Event()

    def take(delivery: Delivery) -> None:
        connection.settle(delivery, Settle.ACK)
        found.append(delivery)
        if len(found) == depth.ready:
            enough.set()

    await connection.consume(queue, take, prefetch=1000)
    await asyncio.wait_for(enough.wait(), 5)
    return found


def test_a_replayed_job_keeps_its_id_and_lineage_and_starts_over(memory_name: str) -> None:
    letter = buried("m:t", "images", "crashed", signal=9)

    async def work() -> tuple[Tally, list[Delivery], list[Delivery]]:
        connection = await prepare(memory_name, letter)
        tally = await dead_acting.replay(settings(memory_name), ALL, told)
        jobs = await waiting(connection, NAMES.queue("images"))
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, jobs, dead

    tally, jobs, dead = asyncio.run(work())
    assert (tally.done, tally.failed, dead) == ([letter.message_id], [], [])
    job = from_message(jobs[0].message, "images", 0.0)
    assert (job.id, job.attempt, job.failures, job.crashes, job.replays) == (letter.message_id, 1, 0, 0, 1)
    assert "crashed" in job.last_error


def test_a_letter_stays_until_its_job_is_confirmed(memory_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_while_publishing = []

    async def work() -> Tally:
        connection = await prepare(memory_name, buried())
        send = Publisher.send

        async def watched(publisher: Publisher, outgoing: Any) -> None:
            await send(publisher, outgoing)
            # Confirmed but not acknowledged: should we die now, the letter would come back.
            memory.drop(memory_name)
            looking = await memory.connect(f"memory://{memory_name}")
            depth = await looking.depth(NAMES.dead)
            seen_while_publishing.append(depth.ready if depth else None)
            await looking.close()

        monkeypatch.setattr(Publisher, "send", watched)
        tally = await dead_acting.replay(settings(memory_name), ALL, told)
        await connection.close()
        return tally

    tally = asyncio.run(work())
    # Back in its queue in between, then removed, and not published a second time.
    assert seen_while_publishing == [1]
    assert (len(tally.done), tally.failed) == (1, [])


def test_a_letter_whose_queue_does_not_take_it_stays(memory_name: str) -> None:
    async def work() -> tuple[Tally, list[Delivery]]:
        connection = await prepare(memory_name, buried(queue="gone"))
        tally = await dead_acting.replay(settings(memory_name, declare=False), ALL, told)
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, dead

    tally, dead = asyncio.run(work())
    assert tally.done == []
    assert "'gone'" in tally.failed[0][1]
    assert len(dead) == 1


def test_what_is_no_job_is_told_and_stays_while_the_others_go(memory_name: str) -> None:
    bad = undecodable()

    async def work() -> tuple[Tally, list[Delivery]]:
        connection = await prepare(memory_name, bad, buried(), buried())
        tally = await dead_acting.replay(settings(memory_name), ALL, told)
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, dead

    tally, dead = asyncio.run(work())
    assert len(tally.done) == 2
    assert [letter_id for letter_id, _ in tally.failed] == [bad.message_id]
    assert "no job (undecodable)" in tally.failed[0][1]
    assert [one.message.message_id for one in dead] == [bad.message_id]


def test_a_limit_stops_in_time(memory_name: str) -> None:
    async def work() -> tuple[int, int]:
        connection = await prepare(memory_name, *(buried() for _ in range(8)))
        tally = await dead_acting.replay(settings(memory_name), Work(Wanted(), limit=3), told)
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return len(tally.done), len(dead)

    assert asyncio.run(work()) == (3, 5)


def test_a_rate_spaces_the_jobs(memory_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[float] = []

    async def work() -> float:
        connection = await prepare(memory_name, *(buried() for _ in range(5)))
        send = Publisher.send

        async def watched(publisher: Publisher, outgoing: Any) -> None:
            moments.append(asyncio.get_running_loop().time())
            await send(publisher, outgoing)

        monkeypatch.setattr(Publisher, "send", watched)
        started = asyncio.get_running_loop().time()
        await dead_acting.replay(settings(memory_name), Work(Wanted(), rate=20), told)
        await connection.close()
        return started

    started = asyncio.run(work())
    assert len(moments) == 5
    # From the start: after one that a loaded machine sends late, the next comes sooner, and is still not ahead of its time.
    assert all(moment - started >= number * 0.05 - 0.005 for number, moment in enumerate(moments))


def test_dropping_by_filter_leaves_the_others(memory_name: str) -> None:
    async def work() -> tuple[Tally, list[Delivery]]:
        connection = await prepare(memory_name, buried(reason="crashed"), buried(), buried(reason="crashed"))
        tally = await dead_acting.drop(settings(memory_name), Work(Wanted(reason="crashed")), told)
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, dead

    tally, dead = asyncio.run(work())
    assert len(tally.done) == 2
    assert [one.message.headers["warren-dead-reason"] for one in dead] == ["failed"]


def test_a_lost_connection_is_picked_up_where_it_got_further(memory_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that holds letters for half an hour is closed by the broker; a slow replay outlives that."""

    async def work() -> tuple[Tally, list[Delivery]]:
        connection = await prepare(memory_name, *(buried() for _ in range(6)))
        send, sent = Publisher.send, []

        async def watched(publisher: Publisher, outgoing: Any) -> None:
            await send(publisher, outgoing)
            sent.append(outgoing)
            if len(sent) == 3:
                asyncio.get_running_loop().call_later(0.05, memory.drop, memory_name)

        monkeypatch.setattr(Publisher, "send", watched)
        tally = await dead_acting.replay(settings(memory_name), Work(Wanted(), rate=10), told)
        await connection.close()
        connection = await memory.connect(f"memory://{memory_name}")
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, dead

    tally, dead = asyncio.run(work())
    assert len(tally.done) == 6
    assert dead == []


def test_a_connection_that_is_lost_before_anything_was_done_is_an_error(memory_name: str) -> None:
    async def work() -> None:
        connection = await prepare(memory_name, buried())
        await connection.close()

        async def act(_: Any) -> None:
            memory.drop(memory_name)
            raise ConnectionLost("under our feet")

        await dead_acting._act(settings(memory_name), ALL, act, told)

    with pytest.raises(BrokerUnavailable, match="lost"):
        asyncio.run(asyncio.wait_for(work(), 10))


def test_letters_that_are_alike_are_each_a_job(memory_name: str) -> None:
    """Published by hand, without an id, and dead-lettered by the broker: nothing tells one from the other."""
    alike = [Message(b'{"task": "m:t"}') for _ in range(4)]

    async def work() -> tuple[Tally, list[Delivery], list[Delivery]]:
        connection = await prepare(memory_name, *alike)
        tally = await dead_acting.replay(settings(memory_name), ALL, told)
        jobs = await waiting(connection, NAMES.queue("default"))
        dead = await waiting(connection, NAMES.dead)
        await connection.close()
        return tally, jobs, dead

    tally, jobs, dead = asyncio.run(work())
    assert (len(tally.done), len(jobs), dead) == (4, 4, [])
