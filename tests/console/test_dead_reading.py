"""Reading dead letters: all that are there, none twice, none lost, whatever is done with them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from tests.console.executable import buried, undecodable

from warren import topology
from warren.amqp import memory
from warren.amqp.seam import Connection, Depth, Message
from warren.console.dead_reading import Held, Reading, Wanted
from warren.dead_letter import read
from warren.topology import Names

NAMES = Names()
T = TypeVar("T")


async def connect(name: str) -> Connection:
    connection = await memory.connect(f"memory://{name}")
    await connection.declare(*topology.base(NAMES))
    return connection


async def bury(connection: Connection, *letters: Message) -> None:
    for letter in letters:
        await connection.publish(letter, NAMES.dead, "default")


async def all_of(reading: Reading, wanted: Wanted | None = None) -> list[Held]:
    return [held async for held in reading.letters(wanted or Wanted())]


def on_broker(name: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(name) as connection:
            return await work(connection)

    return asyncio.run(run())


@asynccontextmanager
async def opened(name: str) -> Any:
    connection = await connect(name)
    try:
        yield connection
    finally:
        await connection.close()


def test_more_letters_than_a_page_are_all_seen_once(memory_name: str) -> None:
    async def work(connection: Connection) -> list[Held]:
        await bury(connection, *(buried() for _ in range(25)))
        return await all_of(Reading(connection, NAMES.dead, page=4, quiet=0.5))

    found = on_broker(memory_name, work)
    assert len({held.letter.id for held in found}) == 25


def test_looking_changes_nothing(memory_name: str) -> None:
    async def work(connection: Connection) -> tuple[int, int]:
        await bury(connection, buried(), undecodable())
        counts = []
        for _ in range(2):
            async with opened(memory_name) as looking:
                counts.append(len(await all_of(Reading(looking, NAMES.dead))))
        return counts[0], counts[1]

    assert on_broker(memory_name, work) == (2, 2)


def test_letters_that_are_removed_make_room_for_others_on_their_page(memory_name: str) -> None:
    async def work(connection: Connection) -> tuple[int, int]:
        await bury(connection, *(buried() for _ in range(10)))
        async with opened(memory_name) as looking:
            reading = Reading(looking, NAMES.dead, page=3, quiet=0.5)
            removed = 0
            async for held in reading.letters(Wanted()):
                reading.remove(held)
                removed += 1
        depth = await connection.depth(NAMES.dead)
        assert depth is not None
        return removed, depth.ready

    assert on_broker(memory_name, work) == (10, 0)


def test_letters_that_come_later_are_not_read(memory_name: str) -> None:
    """Else a replay of jobs that die again at once would never end."""

    async def work(connection: Connection) -> int:
        await bury(connection, buried(), buried())
        reading, count = Reading(connection, NAMES.dead, page=1, quiet=0.5), 0
        async for held in reading.letters(Wanted()):
            reading.remove(held)
            await bury(connection, buried())
            count += 1
        return count

    assert on_broker(memory_name, work) == 2


def test_what_somebody_else_took_meanwhile_is_not_waited_for_long(
    memory_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(connection: Connection) -> tuple[int, int]:
        await bury(connection, buried())

        async def as_it_was(_: str) -> Depth:
            return Depth(3, 0)

        monkeypatch.setattr(connection, "depth", as_it_was)
        reading = Reading(connection, NAMES.dead, quiet=0.1)
        return len(await all_of(reading)), reading.present

    assert on_broker(memory_name, work) == (1, 3)


def test_a_namespace_nobody_used_has_no_letters(memory_name: str) -> None:
    async def work(connection: Connection) -> int:
        return len(await all_of(Reading(connection, "nothing.dead")))

    assert on_broker(memory_name, work) == 0


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(task="images.jobs:*"), True),
        (Wanted(task="mail.*"), False),
        (Wanted(queue="images"), True),
        (Wanted(queue="images", reason="crashed"), False),
        (Wanted(reason="failed"), True),
        (Wanted(ids=frozenset({"another"})), False),
    ],
)
def test_filters_choose_by_id_queue_task_and_reason(wanted: Wanted, takes: bool) -> None:
    letter = read(buried("images.jobs:thumbnail", "images", "failed"), "images", 0.0)
    assert (letter in wanted) is takes
    assert letter in Wanted(ids=frozenset({letter.id}))
