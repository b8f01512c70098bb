"""The pool: gives each unit of work to a process, and takes back what must not wait for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from warren.events import Events
from warren.worker.child import Setup
from warren.worker.frames import Counted, Ended, Run, TaskInfo
from warren.worker.process import Assignment, OnEnded, PoolProcess
from warren.worker.supervisor import Hooks, Supervisor

_BRISK_SECONDS = 0.02
"""Nothing is given to a process that has been at its job for longer."""
_EVEN_SECONDS = 0.002
"""So long may one process be free while others hold more than they run."""


class Pool:
    """Runs units of work, first come first served.

    Args:
        size: processes.
        setup: what each is told.
        events: hears of starts and ends.
        on_counted: given the metrics that tasks counted.
        depth: returns how many jobs a process may hold now, the running one among them.
    """

    def __init__(
        self,
        size: int,
        setup: Setup,
        events: Events,
        *,
        on_counted: Callable[[Counted], None],
        depth: Callable[[], int] = lambda: 1,
    ) -> None:
        self.size = size
        self._supervisor = Supervisor(size, setup, events, Hooks(self._rested, self._returned, on_counted))
        self._depth = depth
        self._waiting: deque[Assignment] = deque()
        self._free: deque[PoolProcess] = deque()
        self._slot = 0
        """Of the process that is asked next whether it takes one more."""
        self._evening: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Start all processes; returns when the first can run jobs.

        Raises:
            WorkerStartError: the modules cannot be imported.
        """
        await self._supervisor.start()

    async def stop(self) -> None:
        """End all processes: idle ones in peace, the rest by force."""
        await self._supervisor.stop()

    @property
    def tasks(self) -> dict[str, TaskInfo]:
        """What can be run, by name."""
        return self._supervisor.tasks

    @property
    def counts(self) -> tuple[int, int, int]:
        """Processes that are free, busy, starting; may be asked from any thread."""
        processes = list(self._supervisor.processes.values())
        busy = sum(bool(process.held) for process in processes)
        free = sum(process.ready and process.alive and not process.held for process in processes)
        return free, busy, self.size - busy - free

    async def run(
        self, run: Run, on_ended: OnEnded, *, on_start: Callable[[], None], kill_after: float | None = None
    ) -> None:
        """Run a unit on a process. Cancelled before `on_start` it never runs; see `take_back`.

        Args:
            run: a job, or items of one.
            on_ended: told each outcome, on the loop.
            on_start: called when a process begins it.
            kill_after: seconds for one outcome, after which the process is killed.

        Raises:
            ProcessDied: the process ended before the last outcome.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alone = run.unit is not None or kill_after is not None
        assignment = Assignment(run, on_start, on_ended, done, alone)
        clock = None if kill_after is None else _KillClock(kill_after, assignment, self._supervisor.kill)
        self._waiting.append(assignment)
        self._hand_out()
        try:
            await done
        finally:
            if clock is not None:
                clock.stop()

    def take_back(self) -> None:
        """Have all that was not begun wait here: until the loop goes on, what has not begun can be cancelled."""
        self._empty(self._crowded())

    def kill_busy(self, why: str) -> None:
        """Kill every process that runs something."""
        for process in self._supervisor.processes.values():
            if process.held:
                self._supervisor.kill(process, why)

    def _hand_out(self) -> None:
        """Give what waits to the processes that can take it now."""
        depth = self._depth()
        while self._waiting:
            first = self._waiting[0]
            if not first.done.done():  # cancelled
                process = self._next_free() or (None if first.alone else self._next_brisk(depth))
                if process is None:
                    return
                process.give(first, at_once=depth == 1)
            self._waiting.popleft()

    def _next_free(self) -> PoolProcess | None:
        while self._free:
            process = self._free.popleft()
            if process.usable and not process.held:
                return process
        return None

    def _next_brisk(self, depth: int) -> PoolProcess | None:
        """Return a process that will soon come to one more."""
        if depth > 1:
            begun = time.monotonic() - _BRISK_SECONDS
            for _ in range(self.size):
                self._slot = (self._slot + 1) % self.size
                process = self._supervisor.processes[self._slot]
                if len(process.held) < depth and process.since > begun and process.usable:
                    return process
        return None

    def _rested(self, process: PoolProcess) -> None:
        if not process.held and process.usable:
            self._free.append(process)
        self._hand_out()
        if self._free and self._evening is None and self._crowded():
            self._evening = asyncio.get_running_loop().call_later(_EVEN_SECONDS, self._even_out)

    def _even_out(self) -> None:
        """Let free processes have what still waits behind others."""
        self._evening = None
        if self._free:
            self._empty(self._crowded())

    def _crowded(self) -> list[PoolProcess]:
        return [process for process in self._supervisor.processes.values() if len(process.held) > 1]

    def _empty(self, processes: list[PoolProcess]) -> None:
        for process in processes:
            self._returned(process.take_back())
            if not process.held:
                self._free.append(process)

    def _returned(self, assignments: list[Assignment]) -> None:
        if assignments:
            self._waiting.extendleft(reversed(assignments))
            asyncio.get_running_loop().call_soon(self._hand_out)


class _KillClock:
    """Counts down to the kill from an assignment's start, anew for every outcome."""

    def __init__(self, seconds: float, assignment: Assignment, kill: Callable[[PoolProcess, str], None]) -> None:
        self._seconds, self._assignment, self._kill = seconds, assignment, kill
        self._timer: asyncio.TimerHandle | None = None
        self._on_start, self._on_ended = assignment.on_start, assignment.on_ended
        assignment.on_start, assignment.on_ended = self._started, self._ended

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _started(self) -> None:
        self._restart()
        self._on_start()

    def _ended(self, message: Ended) -> None:
        self._restart()
        self._on_ended(message)

    def _restart(self) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._over)

    def _over(self) -> None:
        assert self._assignment.process is not None
        self._kill(self._assignment.process, f"over its kill_after of {self._seconds} s")
