"""The lanes of one queue: while they open, and how wide they are as what may wait changes."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, cast

import pytest
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
    assert next(broker._tags) == 1, "what is half open is opened before it is closed, and no more"
    assert (session.lanes, broker.consumers) == ({}, {})


class Shore:
    """Lanes of a worker with two processes, of which the test says what is running by which of them."""

    def __init__(self, most: int = 64) -> None:
        self.broker = FakeConnection()
        self.broker.may_answer.set()
        self.ahead = ReadAhead(2, most)
        self.occupied: list[int] = []
        self.lanes = Lanes("default", self.ahead, lambda: self.occupied, nothing, is_paused=lambda _: False)
        self.session = Session(Names("t"), cast("Any", self.broker))

    async def runs(self, seconds: float, jobs: int = 200) -> None:
        for _ in range(jobs):
            self.ahead.took(seconds)
            self.lanes.balance()
            await asyncio.sleep(0)
        await self.still()

    async def still(self) -> None:
        """Until no chore is left, of those that follow from each other as well."""
        while chores := self.lanes._chores:
            await asyncio.wait(chores)


@scenario
async def test_what_may_wait_comes_by_few_lanes_however_slowly_jobs_become_short() -> None:
    shore = Shore()
    await shore.lanes.open(shore.session)
    await shore.runs(0.2)
    assert shore.session.lanes == {0: 1, 1: 1}
    await shore.runs(0.0001)
    assert shore.session.width == 66
    assert len(shore.session.lanes) <= 2 + 7, "each step has as many as there were"


@scenario
async def test_a_lane_that_is_too_wide_is_closed_and_what_came_by_it_counts_until_it_ends() -> None:
    shore = Shore()
    shore.ahead.took(0.0001)
    await shore.lanes.open(shore.session)
    assert shore.session.lanes == {0: 1, 1: 1, 2: 64}
    shore.occupied = [0, 1, *[2] * 30]
    await shore.runs(0.01, jobs=100)
    assert (shore.ahead.limit, shore.session.lanes) == (6, {0: 1, 1: 1})
    shore.occupied = [0, 1, 2, 2]
    shore.lanes.balance()
    await shore.still()
    assert shore.session.lanes == {0: 1, 1: 1, 3: 2}
    shore.occupied = [0, 1]
    shore.lanes.balance()
    await shore.still()
    assert shore.session.lanes == {0: 1, 1: 1, 3: 2, 4: 2}


@scenario
async def test_after_a_reconnect_a_wide_lane_waits_until_half_of_what_it_may_bring_is_free() -> None:
    shore = Shore()
    shore.ahead.took(0.0001)
    shore.occupied = [-1] * 66  # of lanes of an earlier session
    await shore.lanes.open(shore.session)
    seen = set[tuple[int, ...]]()
    while shore.occupied:
        shore.occupied.pop()
        shore.lanes.balance()
        await shore.still()
        assert shore.lanes._held(shore.session) <= shore.ahead.limit
        seen.add(tuple(shore.session.lanes.values()))
    assert seen == {(), (1, 1, 30), (1, 1, 30, 32)}  # two more are not worth a lane


@scenario
async def test_a_lane_of_which_more_could_come_than_is_kept_is_closed() -> None:
    shore = Shore()
    shore.ahead.took(0.0001)
    await shore.lanes.open(shore.session)
    shore.ahead.wrong()
    closed = list[bool]()
    done: Callable[[], None] = lambda: closed.append(True)
    shore.lanes.close_all_but([0, *[2] * 63], then=done)
    await shore.still()
    assert (closed, shore.session.lanes) == ([True], {0: 1, 3: 1})


@scenario
async def test_lanes_that_two_closings_close_are_open_again_afterwards() -> None:
    for turns in range(20):
        shore = Shore()
        shore.ahead.took(0.0001)
        await shore.lanes.open(shore.session)
        shore.lanes.close_all_but(())
        for _ in range(turns):
            await asyncio.sleep(0)
        shore.lanes.close_all_but(())
        await shore.still()
        assert sorted(shore.session.lanes.values()) == sorted(shore.broker.consumers.values()) == [1, 1, 64]
        assert (shore.session.width, shore.session.closing) == (66, set())


@scenario
async def test_a_lane_that_is_about_to_open_when_a_worker_is_told_to_stop_does_not_stay_open() -> None:
    shore = Shore()
    await shore.lanes.open(shore.session)
    shore.ahead.took(0.0001)
    shore.lanes.balance()  # a wide lane opens in the next turn
    await shore.lanes.drain()
    await shore.still()
    assert (shore.session.lanes, shore.session.width, shore.broker.consumers) == ({}, 0, {})


@pytest.mark.parametrize("seed", range(40))
def test_however_closings_openings_pauses_and_resizes_overlap_consumers_are_as_wide_as_wanted(seed: int) -> None:
    chance = random.Random(seed)

    async def overlap() -> None:
        shore, paused = Shore(), False
        shore.lanes = Lanes("default", shore.ahead, lambda: shore.occupied, nothing, is_paused=lambda _: paused)
        await shore.lanes.open(shore.session)
        for _ in range(200):
            match chance.randrange(6):
                case 0:
                    shore.ahead.took(chance.choice((0.0001, 0.001, 0.01, 1.0)))
                case 1:
                    shore.ahead.resize(chance.choice((1, 2, 3, 8)))
                case 2:
                    paused = not paused
                    shore.lanes.close_all_but(())
                case 3:
                    shore.ahead.wrong()
                    shore.lanes.close_all_but(shore.occupied[:2])
                case 4:
                    lanes = [lane for lane, width in shore.session.lanes.items() for _ in range(width)]
                    shore.occupied = chance.sample(lanes, min(len(lanes), chance.randrange(20)))
                case _:
                    await asyncio.sleep(0)
            shore.lanes.balance()
        paused, shore.occupied = False, []
        shore.lanes.balance()
        await shore.still()
        shore.lanes.balance()
        await shore.still()
        session, limit = shore.session, shore.ahead.limit
        assert sorted(session.lanes.values()) == sorted(shore.broker.consumers.values())
        assert (session.closing, session.width) == (set(), sum(session.lanes.values()))
        assert limit - shore.ahead.jobs / 2 <= session.width <= 2 * limit

    asyncio.run(overlap())
