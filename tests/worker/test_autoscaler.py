"""A pool between two bounds: grows while jobs wait and all places are taken, as memory allows; shrinks when some are idle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import eventually_async
from tests.worker.test_pool import Scene, a_pool

from warren.events import Events, PoolNotGrown, PoolResized
from warren.worker.autoscaler import Autoscaler


class Scaled:
    """A pool with an autoscaler whose clock, queue and memory a test decides."""

    def __init__(self, scene: Scene, least: int, most: int) -> None:
        self.scene = scene
        self.now = 1000.0
        self.ready = 0
        self.asked = 0
        self.why = ""
        self.more: list[int] = []
        events = Events(scene.events.append)
        self.scaler = Autoscaler(
            scene.pool, (least, most), self._ready, events, no_room=self._no_room, clock=lambda: self.now
        )

    async def _ready(self) -> int:
        self.asked += 1
        return self.ready

    def _no_room(self, more: int) -> str:
        self.more.append(more)
        return self.why

    async def passes(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1
            await self.scaler.look()

    async def settled(self) -> None:
        async def none_starts() -> bool:
            return self.scene.pool.counts[2] == 0

        await eventually_async(none_starts)

    @property
    def sizes(self) -> list[int]:
        return [event.after for event in self.scene.events if isinstance(event, PoolResized)]


@asynccontextmanager
async def scaled(folder: Path, least: int, most: int) -> AsyncIterator[Scaled]:
    async with asyncio.timeout(120), a_pool(folder, least, 1) as scene:
        yield Scaled(scene, least, most)


def test_it_grows_while_jobs_wait_and_shrinks_one_by_one_when_none_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scaled(tmp_path, 1, 4) as pool:
            scene = pool.scene
            jobs = [scene.run(number, until=scene.gate.path) for number in range(6)]
            pool.ready = 50
            for processes in (2, 4):
                await pool.settled()
                await pool.passes()
                assert scene.pool.size == processes
            await pool.settled()
            await pool.passes()
            assert pool.asked == 2, "there is nothing to ask for when it is as large as it may be"
            scene.gate.open()
            await asyncio.gather(*jobs)
            await pool.passes(9)
            assert pool.sizes == [2, 4]
            await pool.passes(60)
            assert pool.sizes == [2, 4, 3, 2, 1]

    asyncio.run(scenario())


def test_nobody_is_asked_how_many_jobs_wait_while_a_process_is_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scaled(tmp_path, 2, 4) as pool:
            job = pool.scene.run(0, until=pool.scene.gate.path)
            await pool.passes(30)
            assert (pool.asked, pool.sizes) == (0, [])
            pool.scene.gate.open()
            await job

    asyncio.run(scenario())


def test_it_does_not_grow_without_memory_and_says_so_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scaled(tmp_path, 1, 4) as pool:
            job = pool.scene.run(0, until=pool.scene.gate.path)
            pool.ready, pool.why = 50, "900 MiB of 1000 are used"
            await pool.passes(5)
            assert pool.sizes == []
            assert [event for event in pool.scene.events if isinstance(event, PoolNotGrown)] == [
                PoolNotGrown(1, "900 MiB of 1000 are used")
            ]
            assert all(more > 1_000_000 for more in pool.more), "as much as the largest process has"
            pool.why = ""
            await pool.passes()
            assert pool.sizes == [2]
            pool.scene.gate.open()
            await job

    asyncio.run(scenario())


def test_a_process_that_runs_something_between_two_looks_is_not_idle(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scaled(tmp_path, 1, 2) as pool:
            pool.scene.pool.resize(2)
            await pool.settled()
            for number in range(0, 60, 2):
                await asyncio.gather(pool.scene.run(number), pool.scene.run(number + 1))
                await pool.passes()
            assert pool.sizes == [2]
            await pool.passes(12)
            assert pool.sizes == [2, 1]

    asyncio.run(scenario())
