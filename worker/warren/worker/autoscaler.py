"""Gives a pool the number of processes that its work needs: looks about each second, and has the policy decide."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from warren.amqp.seam import AmqpError
from warren.errors import TopologyMismatch
from warren.events import Events, PoolNotGrown
from warren.worker.memory import private
from warren.worker.outlet import Outlet
from warren.worker.pool import Pool
from warren.worker.process import PoolProcess
from warren.worker.room import too_little
from warren.worker.scaling import Situation, wanted

LOOK_SECONDS = 1.0
_ASK_SECONDS = 5.0


class Autoscaler:
    """Resizes a pool between two bounds.

    Args:
        pool: to be resized; it begins with the least.
        least, most: processes.
        ready: returns how many jobs wait in the served queues; asked only while the pool is full and may grow.
        memory: bytes that a process may take at most; 0 for no limit, then the largest there is says what another may take.
        events: hears why the pool does not grow.
        no_room: returns why there is no memory for so many more bytes.
    """

    def __init__(
        self,
        pool: Pool,
        bounds: tuple[int, int],
        ready: Callable[[], Awaitable[int]],
        events: Events,
        *,
        memory: int = 0,
        no_room: Callable[[int], str] = too_little,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._least, self._most = bounds
        self._ready = ready
        self._events = events
        self._memory = memory
        self._no_room = no_room
        self._clock = clock
        self._idle: dict[PoolProcess, tuple[int, float]] = {}
        """How much each idle process has run in all, and since when that is so."""
        self._changed = clock()
        self._held = False

    async def scale(self) -> None:
        """Look again and again; never returns if there is anything to decide."""
        while self._least < self._most:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once, and resize the pool if that is due."""
        now, pool = self._clock(), self._pool
        idle = self._longest_idle(now)
        full = all(self._takes_no_more(process) for process in pool.roster.in_place.values())
        ready = await self._ready() if full and pool.size < self._most else 0
        _, _, starting = pool.counts
        situation = Situation(pool.size, starting == 0, full, ready, idle, now - self._changed)
        size = wanted(situation, self._least, self._most)
        if size > pool.size and self._is_held(size):
            return
        if size != pool.size:
            why = _waiting(ready) if size > pool.size else f"a process was idle for {idle:.0f} s"
            pool.resize(size, why)
            self._changed, self._held = now, False

    def _takes_no_more(self, process: PoolProcess) -> bool:
        return bool(process.held) or len(process.loop.running) >= self._pool.coroutines

    def _is_held(self, size: int) -> bool:
        """Tell whether there is no memory for one more; that is said once."""
        another = self._memory or max(
            (private(process.pid) for process in self._pool.roster.in_place.values()), default=0
        )
        why = self._no_room((size - self._pool.size) * another)
        if why and not self._held:
            self._events.emit(PoolNotGrown(self._pool.size, why))
        self._held = bool(why)
        return self._held

    def _longest_idle(self, now: float) -> float:
        seen = {}
        for process in self._pool.roster.in_place.values():
            ran = process.ran + process.loop.ran
            before, since = self._idle.get(process, (-1, now))
            if process.ready and not process.busy:
                seen[process] = ran, since if ran == before else now
        self._idle = seen
        return max((now - since for _, since in seen.values()), default=0.0)


async def jobs_ready(outlet: Outlet, queues: Iterable[str]) -> int:
    """Return how many jobs are ready in these queues of the broker's; 0 when it cannot be asked.

    Args:
        outlet: whose connection is used.
        queues: by their names at the broker.
    """
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            connection = await outlet.open()
            found = [await connection.depth(queue) for queue in queues]
    except (AmqpError, TopologyMismatch, TimeoutError):
        return 0
    return sum(depth.ready for depth in found if depth is not None)


def _waiting(ready: int) -> str:
    return "1 job waits" if ready == 1 else f"{ready:,} jobs wait"
