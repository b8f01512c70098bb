"""A chunk of a map, spread over the pool: units of items go to processes as they come free; every item gets its own outcome.

An item's outcome is told before the next item of its unit begins, so a process that dies charges only the item it was at;
what it had not begun goes to another process.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from warren.job import Body
from warren.outcome import Crashed, Outcome
from warren.worker.frames import Ended, Run, TaskInfo
from warren.worker.pool import Pool
from warren.worker.process import ProcessDied
from warren.worker.supervisor import NURSERY_DIED

STOPPING = "the worker is stopping"
_UNIT_SECONDS = 0.02


class Interrupted(Exception):
    """The process was taken away through no fault of its job: what it ran is given back, not charged."""


def charged(crash: Crashed) -> Crashed:
    """Return a crash that is the job's own doing.

    Raises:
        Interrupted: it was ours: the worker stops, or the pool broke.
    """
    if crash.killed_for in {STOPPING, NURSERY_DIED}:
        raise Interrupted
    return crash


class Pace:
    """How many items make a unit: as many as are done in some 20 ms, by the mean so far; one while that is not known.

    So a unit is worth its message, and a job that came by another lane never waits for more than one slow item.
    """

    def __init__(self) -> None:
        self._items = 0
        self._seconds = 0.0

    def took(self, seconds: float) -> None:
        """Take note of one item's time."""
        self._items += 1
        self._seconds += seconds

    def unit(self, left: int, processes: int) -> int:
        """Return the size of the next unit, at least 1 and never so large that another process would be left without."""
        if not self._items:
            return 1
        mean = max(self._seconds / self._items, 1e-6)
        return max(1, min(int(_UNIT_SECONDS / mean), -(-left // processes)))


async def run_chunk(
    pool: Pool, run: Run, body: Body, info: TaskInfo, on_start: Callable[[], None]
) -> dict[int, Outcome]:
    """Run all items of a chunk and return each one's outcome by place.

    Raises:
        Interrupted: the worker stops.
    """
    items = dict(zip(body.places(), body.items or (), strict=True))
    waiting = deque(items)
    pace = Pace()
    broken = False
    if not waiting:
        on_start()  # begun and ended at once
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        nonlocal broken
        while waiting and not broken:
            unit = [waiting.popleft() for _ in range(min(len(waiting), pace.unit(len(waiting), pool.size)))]
            part = msgspec.structs.replace(run, items=[bytes(items[place]) for place in unit], places=unit)

            def ended(message: Ended) -> None:
                assert message.place is not None
                outcomes[message.place] = message.outcome
                pace.took(message.seconds)

            try:
                await pool.run(part, ended, on_start=on_start, kill_after=info.kill_after)
            except ProcessDied as died:
                unfinished = [place for place in unit if place not in outcomes]
                waiting.extendleft(reversed(unfinished[1:]))
                try:
                    outcomes[unfinished[0]] = charged(died.crash)
                except Interrupted:
                    broken = True  # the whole chunk comes again: the others need not go on
                    raise

    # One worker per process and not one per unit: other jobs get their turn between two units.
    await asyncio.gather(*(work() for _ in range(min(pool.size, len(waiting)))))
    return outcomes
