"""Notices an event loop that does not go on: a coroutine that blocks it stops all others of its process.

Nothing in the process could say so while it is blocked. But each step of a job is marked in memory that the worker shares with
it, with the time when the step began; so it is seen here, and also while C code holds the interpreter's lock.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from warren.events import Events, LoopBlocked
from warren.worker.assignment import Assignment
from warren.worker.chores import Chores
from warren.worker.process import PoolProcess

BLOCKED_SECONDS = 1.0
"""So long may a coroutine go without waiting for anything."""
_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 1.0


def blocker_of(process: PoolProcess, now: float) -> Assignment | None:
    """Return the job that keeps a process's event loop from going on, if one does."""
    if process.journal is None:
        return None
    step = process.journal.marked
    number, since = step
    # Read twice: see `LoopWatch`.
    lasts = now - since > BLOCKED_SECONDS and process.journal.marked == step
    return process.loop.running.get(number) if lasts else None


class LoopWatch:
    """Looks at processes while coroutine jobs run in them.

    Args:
        processes: by slot.
        stacks: returns the stacks of a process within so many seconds.
        events: told of each job that blocks its loop, once for each time.
    """

    def __init__(
        self,
        processes: Mapping[int, PoolProcess],
        stacks: Callable[[PoolProcess, float], Awaitable[str]],
        events: Events,
    ) -> None:
        self._processes = processes
        self._stacks = stacks
        self._events = events
        self._seen: dict[int, tuple[int, float]] = {}
        """The step that was seen last, by slot."""
        self._told: dict[int, tuple[int, float]] = {}
        """The step that was told last, by slot."""
        self._timer: asyncio.TimerHandle | None = None
        self._chores = Chores()

    def after(self, told: Callable[[int], None]) -> Callable[[int], None]:
        """Return what is to be told how many run: somebody else first, then this."""

        def changed(running: int) -> None:
            told(running)
            self.go_on(running)

        return changed

    def go_on(self, running: int) -> None:
        """Look while so many are running."""
        if running and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        running = 0
        for process in self._processes.values():
            running += len(process.loop.running)
            if process.loop.running and process.alive and process.journal is not None:
                self._look_at(process, process.journal.marked)
        self.go_on(running)

    def _look_at(self, process: PoolProcess, step: tuple[int, float]) -> None:
        """Believe what is seen twice: the process may be writing just now, and a number stand beside the time of another."""
        before, self._seen[process.slot] = self._seen.get(process.slot), step
        number, since = step
        lasts = step == before and number and time.monotonic() - since > BLOCKED_SECONDS
        if lasts and self._told.get(process.slot) != step:
            self._told[process.slot] = step
            self._chores.do(self._tell(process, step))

    async def _tell(self, process: PoolProcess, step: tuple[int, float]) -> None:
        stack = await self._stacks(process, _ANSWER_SECONDS)
        number, since = step
        guilty = process.loop.running.get(number)
        if guilty is not None:
            run, seconds = guilty.run, time.monotonic() - since
            self._events.emit(LoopBlocked(run.job_id, run.task, run.queue, process.pid, seconds, stack))
