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
async def test_a_lane_that_is_opened_again_while_two_close_it_can_be_closed_again() -> None:
    broker = FakeConnection()
    broker.may_answer.set()
    session = Session(Names("t"), cast("Any", broker))
    lanes = dict.fromkeys(range(3), 1)
    await session.open_lanes("default", lanes, nothing)
    broker.may_answer.clear()
    first = asyncio.create_task(session.close_lanes({1}))
    second = asyncio.create_task(session.close_lanes({1, 2}))
    await asyncio.sleep(0)
    first.add_done_callback(
        lambda _: reopening.append(asyncio.create_task(session.open_lanes("default", {1: 4}, nothing)))
    )
    reopening: list[asyncio.Task[None]] = []
    broker.may_answer.set()
    await asyncio.gather(first, second)
    await asyncio.gather(*reopening)
    assert (session.lanes, session.width) == ({0: 1, 1: 4}, 5)
    assert sorted(broker.consumers.values()) == [1, 4]
    await session.close_lanes(set(session.lanes))
    assert (session.lanes, session.width, session.closing, broker.consumers) == ({}, 0, set(), {})


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
    await session.open_lanes("default", {1: 4}, nothing)
    assert (session.lanes, session.closing) == ({1: 4}, set())
