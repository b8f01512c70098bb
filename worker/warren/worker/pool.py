"""The pool: gives each unit of work to a free process, and knows which process holds what."""

import asyncio
from collections import deque
from collections.abc import Callable

from warren.events import Events
from warren.worker.frames import Counted, Ended, Run, TaskInfo
from warren.worker.process import OnEnded, PoolProcess
from warren.worker.setup import Setup
from warren.worker.supervisor import Hooks, Supervisor


class Pool:
    """Runs units of work, one per process at a time, first come first served.

    Args:
        size: processes.
        setup: what each is told.
        events: hears of starts and ends.
        on_counted: given the metrics that tasks counted.
    """

    def __init__(
        self,
        size: int,
        setup: Setup,
        events: Events,
        *,
        on_counted: Callable[[Counted], None],
    ) -> None:
        self.size = size
        self._supervisor = Supervisor(size, setup, events, Hooks(self._release, on_counted))
        self._free: deque[PoolProcess] = deque()
        self._waiters: deque[asyncio.Future[PoolProcess]] = deque()

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
        busy = sum(process.busy for process in processes)
        free = sum(process.ready and process.alive and not process.busy for process in processes)
        return free, busy, self.size - busy - free

    async def run(
        self, run: Run, on_ended: OnEnded, *, on_start: Callable[[], None], kill_after: float | None = None
    ) -> None:
        """Run a unit on the next free process.

        Args:
            run: a job, or items of one.
            on_ended: told each outcome, on the loop.
            on_start: called when a process has it.
            kill_after: seconds for one outcome, after which the process is killed.

        Raises:
            ProcessDied: the process ended before the last outcome.
        """
        process = await self._acquire()
        clock = None
        if kill_after is not None:
            clock = _KillClock(
                kill_after, lambda: self._supervisor.kill(process, f"over its kill_after of {kill_after} s")
            )
            on_ended = clock.restarted_by(on_ended)
        try:
            running = process.begin(run, on_ended)
            on_start()
            await running
        finally:
            process.rest()
            if clock is not None:
                clock.stop()
            self._release(process)

    def kill_busy(self, why: str) -> None:
        """Kill every process that runs something."""
        for process in self._supervisor.processes.values():
            if process.busy:
                self._supervisor.kill(process, why)

    async def _acquire(self) -> PoolProcess:
        """Return a process that can take a job this very moment: the caller must begin before it awaits anything."""
        while not (process := await self._next()).usable:
            pass
        return process

    async def _next(self) -> PoolProcess:
        if self._free:
            return self._free.popleft()
        waiter: asyncio.Future[PoolProcess] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._release(waiter.result())
            raise

    def _release(self, process: PoolProcess) -> None:
        if not process.usable:
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(process)
                return
        self._free.append(process)


class _KillClock:
    """Counts down to the kill, anew for every outcome."""

    def __init__(self, seconds: float, kill: Callable[[], None]) -> None:
        self._seconds, self._kill = seconds, kill
        self._timer = asyncio.get_running_loop().call_later(seconds, kill)

    def restarted_by(self, on_ended: OnEnded) -> OnEnded:
        def ended(message: Ended) -> None:
            self.stop()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._kill)
            on_ended(message)

        return ended

    def stop(self) -> None:
        self._timer.cancel()
