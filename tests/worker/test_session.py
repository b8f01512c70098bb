"""The consumers of a session: as many as it says, however openings and closings overlap."""

import asyncio
from typing import Any, cast

from tests.worker.test_settle import scenario

from warren.amqp.seam import Subscription
from warren.topology import Names
from warren.worker.session import Session


class FakeConnection:
    """A broker that opens and cancels consumers, each when it is let."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.consumers: dict[str, int] = {}
        """How wide each is, by its tag."""
        self.may_answer = asyncio.Event()
        self._tags = iter(range(1000))

    async def consume(self, queue: str, _: object, *, prefetch: int) -> Subscription:
        await self.may_answer.wait()
        tag = str(next(self._tags))
        self.consumers[tag] = prefetch
        return Subscription(queue, self, tag)

    async def cancel(self, subscription: Subscription) -> None:
        await self.may_answer.wait()
        del self.consumers[subscription.tag]


def nothing(*_: object) -> None:
    """Nobody delivers."""


@scenario
async def test_lanes_that_two_close_are_closed_once_and_what_opens_meanwhile_is_open() -> None:
    broker = FakeConnection()
    broker.may_answer.set()
    session = Session(Names("t"), cast("Any", broker))
    await session.open_lanes("default", {0: 1, 1: 1, 2: 1}, nothing)
    broker.may_answer.clear()
    closing = [asyncio.create_task(session.close_lanes(lanes)) for lanes in ({1}, {1, 2})]
    await asyncio.sleep(0)
    opening = asyncio.create_task(session.open_lanes("default", {3: 4}, nothing))
    assert (session.lanes, session.width) == ({0: 1, 1: 1, 2: 1, 3: 4}, 7)
    broker.may_answer.set()
    await asyncio.gather(*closing, opening)
    assert (session.lanes, session.width, session.closing) == ({0: 1, 3: 4}, 5, set())
    assert sorted(broker.consumers.values()) == [1, 4]
    await session.close_lanes(set(session.lanes))
    assert (session.lanes, session.width, session.closing, broker.consumers) == ({}, 0, set(), {})


@scenario
async def test_a_lane_that_is_to_be_closed_before_it_is_open_is_not_opened() -> None:
    broker = FakeConnection()
    session = Session(Names("t"), cast("Any", broker))
    first = asyncio.create_task(session.open_lanes("default", {0: 1}, nothing))
    second = asyncio.create_task(session.open_lanes("default", {1: 4}, nothing))
    await asyncio.sleep(0)
    closing = asyncio.create_task(session.close_lanes({1}))
    await asyncio.sleep(0)
    broker.may_answer.set()
    await asyncio.gather(first, second, closing)
    assert (session.lanes, session.width, session.closing, broker.consumers) == ({0: 1}, 1, set(), {"0": 1})


@scenario
async def test_lanes_that_cannot_be_opened_are_neither_open_nor_closing() -> None:
    broker = FakeConnection()
    session = Session(Names("t"), cast("Any", broker))
    opening = asyncio.create_task(session.open_lanes("default", {0: 1, 1: 4}, nothing))
    await asyncio.sleep(0)
    closing = asyncio.create_task(session.close_lanes({0, 1}))
    await asyncio.sleep(0)
    broker.lost.set_result("gone")
    broker.may_answer.set()
    await asyncio.gather(opening, closing)
    assert (session.lanes, session.width, session.closing) == ({}, 0, set())


@scenario
async def test_a_lane_that_is_closed_already_is_not_closing() -> None:
    broker = FakeConnection()
    broker.may_answer.set()
    session = Session(Names("t"), cast("Any", broker))
    await session.open_lanes("default", {1: 4}, nothing)
    await session.close_lanes({1})
    await session.close_lanes({1})
    await session.open_lanes("default", {2: 4}, nothing)
    assert (session.lanes, session.closing) == ({2: 4}, set())
