"""The lanes of one queue while they open."""

import asyncio
from typing import Any, cast

from tests.worker.test_session import FakeConnection
from tests.worker.test_settle import scenario

from warren.topology import Names
from warren.worker.lanes import Lanes
from warren.worker.read_ahead import ReadAhead
from warren.worker.session import Session


def nothing(*_: object) -> None:
    """Nobody delivers."""


@scenario
async def test_lanes_that_are_being_opened_when_a_worker_is_told_to_stop_are_closed_by_its_drain() -> None:
    broker = FakeConnection()
    session = Session(Names("t"), cast("Any", broker))
    lanes = Lanes("default", ReadAhead(3, 0), tuple, nothing, is_paused=lambda _: False)
    opening = asyncio.create_task(lanes.open(session))
    for _ in range(5):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    draining = asyncio.create_task(lanes.drain())
    broker.may_answer.set()
    await draining
    assert next(broker._tags) == 3, "what is half open is opened before it is closed"
    assert (session.lanes, broker.consumers) == (set(), set())
