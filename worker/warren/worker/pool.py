"""The pool: gives each unit of work to a process, and takes back what must not wait for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from warren.events import Events
from warren.worker.assignment import Assignment, Awaited, Killable, Work
from warren.worker.child import Setup
from warren.worker.frames import Counted, Ended, Run, TaskInfo
from warren.worker.process import PoolProcess
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

    def submit(self, run: Run, work: Work, *, kill_after: float | None = None) -> Assignment:
        """Have a unit run by a process, when one can take it; before that it can be withdrawn, see `take_back`.

        Args:
            run: a job, or items of one.
            work: hears what becomes of it.
            kill_after: seconds for one outcome, after which the process is killed.
        """
        assignment = Assignment(run, work, alone=run.unit is not None or kill_after is not None)
        if kill_after is not None:
            assignment.work = Killable(work, kill_after, lambda: self._kill(assignment, kill_after))
        self._waiting.append(assignment)
        self._hand_out()
        return assignment

    async def run(
        self,
        run: Run,
        on_ended: Callable[[Ended], None],
        *,
        on_start: Callable[[], None],
        kill_after: float | None = None,
    ) -> None:
        """As `submit`, and wait for its end; cancelled before it is begun, it never is.

        Raises:
            ProcessDied: the process ended before the last outcome.
        """
        work = Awaited(on_start, on_ended)
        assignment = self.submit(run, work, kill_after=kill_after)
        try:
            await work.done
        finally:
            assignment.withdrawn = True

    def take_back(self) -> None:
        """Have all that was not begun wait here: until the loop goes on, it can be withdrawn."""
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
            if not first.withdrawn:
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

    def _kill(self, assignment: Assignment, kill_after: float) -> None:
        assert assignment.process is not None
        self._supervisor.kill(assignment.process, f"over its kill_after of {kill_after} s")
