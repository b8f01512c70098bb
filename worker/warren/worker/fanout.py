"""A chunk of a map, spread over the pool: units of items go to processes as they come free; every item gets its own outcome.

A process tells of several quick items at once, and what it has not told stands in its journal; so when it dies, only the item
it was at is charged. What it had not begun goes to another process. Items of a coroutine task are each a job of their own there.
"""

import asyncio
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Collection

import msgspec

from warren.job import Body, encode_body
from warren.outcome import Cancelled, Crashed, Done, Expired
from warren.worker.assignment import Assignment, ProcessDied
from warren.worker.blame import CANCELLED, NEIGHBOUR, NOBODY_KNOWN, NURSERY_DIED, STOPPING, is_ours
from warren.worker.chunk import Outcomes, member
from warren.worker.frames import Ended, Run, TaskInfo, Unit
from warren.worker.pool import Pool
from warren.worker.unit import UNIT_SECONDS

_LEAST_SECONDS = 1e-6
_WORTH_SECONDS = 0.001
"""Of work, that a unit is worth its message and the waking of another process."""
_REMEMBERED_ITEMS = 100_000
_TAKEN_AWAY = 3
"""So often may the process of an item be taken away through no fault of the item, as far as is known; then it is charged."""
_ALL_TAKEN = (STOPPING, NURSERY_DIED)
"""What befalls all processes together: nothing of the chunk is left here."""
_NUMBERS = itertools.count(1)
"""Of units, in all chunks: what a process has left behind of an earlier one is not mistaken for this one's."""


class Interrupted(Exception):
    """The process was taken away, as far as is known through no fault of its job: what it ran is given back.

    Attributes:
        suspect: it may have been its fault; so the broker counts that it came back.
    """

    def __init__(self, *, suspect: bool = False) -> None:
        super().__init__()
        self.suspect = suspect


class Pace:
    """How long a task's items take, and so how many of them make a unit: as many as are done in some 20 ms.

    While that is not known a unit is a process's share. A process ends a unit that takes longer, so a mean that misleads costs no
    more than sending items twice.
    """

    def __init__(self) -> None:
        self._items = 0
        self._seconds = 0.0

    def took(self, seconds: float, items: int) -> None:
        """Take note of the time of some items; what was long ago counts less and less."""
        if self._items > _REMEMBERED_ITEMS:
            self._items, self._seconds = self._items // 2, self._seconds / 2
        self._items += items
        self._seconds += seconds

    def unit(self, left: int, processes: int) -> int:
        """Return the size of the next unit of so many items that are left, at least 1.

        It leaves a share for every other process, unless all the items together are not worth a second message.
        """
        share = -(-left // processes)
        if not self._items:
            return share
        mean = max(self._seconds / self._items, _LEAST_SECONDS)
        return max(1, min(int(UNIT_SECONDS / mean), max(share, min(left, int(_WORTH_SECONDS / mean)))))


class Chunk:
    """A chunk while it runs.

    Args:
        run: what its items have in common.
        body: the items, and the arguments that come after each.
        pace: the task's.
        last_moment: by the monotonic clock, when what runs is killed; nothing begins after it.
    """

    def __init__(self, run: Run, body: Body, pace: Pace, last_moment: float = math.inf) -> None:
        self._run = run
        self._body = body
        self._items = body.items or []
        self._places = body.places()
        self._pace = pace
        self._last_moment = last_moment
        self.waiting = deque(range(len(self._items)))
        """Which items, by their number here, have to be given to a process."""
        self.outcomes = Outcomes()
        self._running: set[Assignment] = set()
        self._cancelled = False
        self._taken: Counter[int] = Counter()
        """How often the process of each item was taken away."""

    def cut(self, processes: int) -> list[int]:
        """Take from what waits as much as one process shall be given now."""
        size = min(len(self.waiting), self._pace.unit(len(self.waiting), processes))
        return [self.waiting.popleft() for _ in range(size)]

    def cancel(self, pool: Pool, grace: float) -> None:
        """Have all items that are not done end as cancelled; those that run get `grace` seconds to do so."""
        self._cancelled = True
        left, self.waiting = self.waiting, deque()
        self._wait_again(left)
        for assignment in list(self._running):
            pool.cancel(assignment, grace)

    def _wait_again(self, items: Collection[int]) -> None:
        """Have items be given to a process next; not those of a cancelled chunk."""
        if self._cancelled:
            self.outcomes.others |= {self._places[item]: Cancelled(CANCELLED) for item in items}
        else:
            self.waiting.extendleft(reversed(list(items)))

    def _ends_here(self, items: Collection[int]) -> bool:
        """See to it that items do not begin that must not any more: of a cancelled chunk, or after its last moment."""
        if self._cancelled:  # while this was about to begin
            self._wait_again(items)
        elif time.monotonic() > self._last_moment:
            self.outcomes.others |= {self._places[item]: Expired() for item in items}
        else:
            return False
        return True

    def _is_charged(self, item: int, crash: Crashed) -> bool:
        """Tell whether an item is charged with the end of its process; if it only was there, too often is too often."""
        if crash.killed_for == NEIGHBOUR:
            return False
        if not is_ours(crash) or crash.killed_for == NOBODY_KNOWN:
            return True
        self._taken[item] += 1
        return self._taken[item] > _TAKEN_AWAY

    async def run_unit(self, items: list[int], pool: Pool, info: TaskInfo, on_start: Callable[[], None]) -> None:
        """Run some items on one process; what it does not come to waits again."""
        if self._ends_here(items):
            return
        encoded = b",".join(map(self._items.__getitem__, items))
        unit = Unit(next(_NUMBERS), [self._places[item] for item in items], b"[%b]" % encoded)
        told = 0

        def ended(message: Ended) -> None:
            nonlocal told
            part = message.part
            # Of a process that died, its journal too is read, where something may stand that was told before.
            if part is not None and part.count and (part.unit, part.told) == (unit.number, told):
                told += part.count
                self._put(message, unit.places[part.told])
                self._pace.took(message.seconds, part.count)

        run = msgspec.structs.replace(self._run, unit=unit)
        crash = await self._run_on(pool, run, info, ended, on_start)
        if crash is not None and told < len(items) and self._is_charged(items[told], crash):
            self.outcomes.others[unit.places[told]] = crash
            told += 1
        self._wait_again(items[told:])

    async def run_item(self, item: int, pool: Pool, info: TaskInfo, on_start: Callable[[], None]) -> None:
        """Run an item of a coroutine task beside others; it waits again when its process is taken away."""
        if self._ends_here([item]):
            return
        body = Body(self._body.task, [self._items[item], *self._body.args], self._body.kwargs)
        place = self._places[item]

        def ended(message: Ended) -> None:
            outcome = message.outcome
            done = Done(member(place, outcome.result)) if isinstance(outcome, Done) else outcome
            self._put(msgspec.structs.replace(message, outcome=done), place)

        run = msgspec.structs.replace(self._run, body=encode_body(body))
        crash = await self._run_on(pool, run, info, ended, on_start)
        if crash is not None and self._is_charged(item, crash):
            self.outcomes.others[place] = crash
        elif crash is not None:
            self._wait_again([item])

    async def _run_on(
        self, pool: Pool, run: Run, info: TaskInfo, ended: Callable[[Ended], None], on_start: Callable[[], None]
    ) -> Crashed | None:
        """Run something of it on a process; returns how that died, if it did before the last outcome."""
        try:
            await pool.run(
                run,
                ended,
                on_start=on_start,
                kill_after=info.kill_after,
                kill_at=self._last_moment,
                among=self._running,
            )
        except ProcessDied as died:
            if died.crash.killed_for in _ALL_TAKEN:
                raise Interrupted from died
            return died.crash
        return None

    def _put(self, message: Ended, place: int) -> None:
        if isinstance(message.outcome, Done):
            self.outcomes.done.append(message.outcome.result)
        else:
            self.outcomes.others[place] = message.outcome


async def run_chunk(pool: Pool, chunk: Chunk, info: TaskInfo, on_start: Callable[[], None]) -> Outcomes:
    """Run all items of a chunk and return what they came to.

    Raises:
        Interrupted: the worker stops, or all its processes were lost at once.
    """
    units: set[asyncio.Task[None]] = set()
    if not chunk.waiting:
        on_start()  # begun and ended at once
    try:
        while chunk.waiting or units:
            # No more units at a time than processes: other jobs get their turn between two of them.
            while chunk.waiting and len(units) < pool.size * (pool.coroutines if info.is_coroutine else 1):
                if info.is_coroutine:
                    running = chunk.run_item(chunk.waiting.popleft(), pool, info, on_start)
                else:
                    running = chunk.run_unit(chunk.cut(pool.size), pool, info, on_start)
                units.add(asyncio.create_task(running))
            ended, _ = await asyncio.wait(units, return_when=asyncio.FIRST_COMPLETED)
            for unit in ended:
                unit.result()
            units -= ended
        return chunk.outcomes
    finally:
        for unit in units:
            unit.cancel()
        await asyncio.gather(*units, return_exceptions=True)
