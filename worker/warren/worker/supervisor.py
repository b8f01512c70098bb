"""Keeps the pool's processes alive: starts them, hears of every end, replaces at once.

Who ends a process only marks why (`killed_for`). Everything that follows from an end, expected or not, happens in one place,
when the nursery has said how it ended: the job's runner is told, the slot gets a new process.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from warren.errors import WorkerStartError
from warren.events import Events, JobProgress, ProcessExited, ProcessStarted
from warren.worker.assignment import Assignment
from warren.worker.blame import NURSERY_DIED, WIRE_LOST
from warren.worker.frames import Counted, Progress, Ready, Run, TaskInfo
from warren.worker.handling import Handling
from warren.worker.keeper import Exit, Keeper, News
from warren.worker.oom import OomWatch, own_counter
from warren.worker.output import Relay, last_line, standard_outputs
from warren.worker.process import Listeners, PoolProcess
from warren.worker.setup import Setup
from warren.worker.stacks import innermost

_STOP_SECONDS = 2.0
_EARLY_DEATHS = 3
_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS = 0.1, 30.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the supervisor tells its owner; called on the loop."""

    rested: Callable[[PoolProcess], None]
    """A process is new, or something it held has ended."""
    returned: Callable[[list[Assignment]], None]
    """A process died before it had begun these."""
    freed: Callable[[], None]
    """A place on a process's event loop may be free."""
    counted: Callable[[Counted], None]


class Supervisor:
    """Owns the processes of a pool, one per slot; keeps them by slot in `processes`."""

    def __init__(
        self, size: int, setup: Setup, events: Events, hooks: Hooks, processes: dict[int, PoolProcess]
    ) -> None:
        self.tasks: dict[str, TaskInfo] = {}
        self.processes = processes
        self._size = size
        self._setup = setup
        self._events = events
        self._hooks = hooks
        self._keeper: Keeper | None = None
        self._relay: Relay | None = None
        self._oom = OomWatch(own_counter())
        self._by_pid: dict[int, PoolProcess] = {}
        self._restart_seconds = _RESTART_FIRST_SECONDS
        self._stopping = False
        self._early_deaths = 0
        self._first: asyncio.Future[None] | None = None
        self._empty = asyncio.Event()
        self._chores: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly
        self.handling = Handling(self._send, self._do)

    async def start(self) -> None:
        """Start all processes; returns when the first can run jobs.

        Raises:
            WorkerStartError: the modules cannot be imported.
        """
        self._first = asyncio.get_running_loop().create_future()
        for slot in range(self._size):
            await self._start_process(slot)
        await self._first

    async def stop(self) -> None:
        """End all processes: idle ones in peace, the rest by force."""
        self._stopping = True
        for process in self.processes.values():
            process.stop()
        if self._by_pid:
            with suppress(TimeoutError):  # the nursery kills whatever is left when its control socket closes
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._empty.wait()
        if self._keeper is not None:
            await self._keeper.close()
        for process in self.processes.values():
            if process.alive:
                await process.conclude(None)
        if self._relay is not None:
            await self._relay.close()

    async def _start_process(self, slot: int) -> None:
        if self._stopping:
            return
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        hooks = self._hooks
        listeners = Listeners(
            self._process_ready,
            self._process_broken,
            hooks.rested,
            hooks.returned,
            hooks.freed,
            hooks.counted,
            lambda run, progress: self._events.emit(_progress(run, progress)),
            lambda process: self.handling.kill(process, WIRE_LOST),
        )
        process = PoolProcess(slot, listeners)
        self.processes[slot] = process
        if self._relay is None:
            self._relay = Relay(*standard_outputs())
        await process.connect(ours, self._relay)
        if self._keeper is None:
            self._keeper = Keeper(self._setup, News(self._started, self._not_started, self._exited, self._nursery_gone))
        self._keeper.start(slot, theirs)
        theirs.close()

    def _started(self, slot: int, pid: int) -> None:
        process = self.processes[slot]
        process.pid = pid
        self._by_pid[pid] = process

    def _not_started(self, slot: int, error: str) -> None:
        process = self.processes[slot]
        self._process_broken(process, error)
        self._do(process.conclude(None))
        self._replace(process)

    def _process_ready(self, process: PoolProcess, ready: Ready) -> None:
        self.tasks = {info.name: info for info in ready.tasks}
        self._restart_seconds = _RESTART_FIRST_SECONDS
        self._events.emit(ProcessStarted(process.pid, process.slot))
        self._hooks.rested(process)
        self._hooks.freed()
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def _process_broken(self, process: PoolProcess, error: str) -> None:
        process.killed_for = f"cannot load its tasks: {error}"
        if self._first is not None and not self._first.done():
            self._first.set_exception(WorkerStartError(f"cannot load the tasks: {error}"))

    def _exited(self, exit_: Exit) -> None:
        process = self._by_pid.pop(exit_.pid)
        oom = self._oom.did_it(exit_.signal, ours=bool(process.killed_for))
        self._do(self._bury(process, replace(exit_, oom=oom)))

    def _nursery_gone(self) -> None:
        if self._stopping:
            return
        self._by_pid = {}
        lost = [process for process in self.processes.values() if process.alive]
        self._early_deaths = 0 if any(process.ready for process in lost) else self._early_deaths + 1
        if self._early_deaths >= _EARLY_DEATHS and self._first is not None and not self._first.done():
            self._first.set_exception(WorkerStartError("the pool's nursery dies as it starts; its messages are above"))
            return
        self._keeper = None  # the next process to be started makes another, after the wait that processes have
        for process in lost:
            process.killed_for = process.killed_for or NURSERY_DIED
            self._do(self._bury(process, None))

    async def _bury(self, process: PoolProcess, exit_: Exit | None) -> None:
        """The one place where the end of a process has its consequences."""
        crash = await process.conclude(exit_)
        asked = crash.exit_code == 0 and process.ready and not process.killed_for
        reason = "stopped" if asked or self._stopping else "killed" if process.killed_for else "crashed"
        detail, output, where = "", "", ""
        if reason != "stopped":
            detail, output, where = str(crash), last_line(crash.output), innermost(crash.stack)
        self._events.emit(ProcessExited(process.pid, process.slot, reason, detail, crash.max_rss, output, where))
        if not self._by_pid:
            self._empty.set()
        self._replace(process)

    def _replace(self, process: PoolProcess) -> None:
        """Start another: at once for one that had been working, with growing waits when processes cannot even start."""
        wait = 0.0
        if not process.ready:
            wait = self._restart_seconds
            self._restart_seconds = min(self._restart_seconds * 2, _RESTART_MAX_SECONDS)
        loop = asyncio.get_running_loop()
        loop.call_later(wait, lambda: self._do(self._start_process(process.slot)))

    def _send(self, process: PoolProcess, number: int) -> None:
        if self._keeper is not None:
            self._keeper.kill(process.pid, number)

    def _do(self, chore: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _progress(run: Run, progress: Progress) -> JobProgress:
    return JobProgress(run.job_id, run.task, run.queue, progress.done, progress.total)
