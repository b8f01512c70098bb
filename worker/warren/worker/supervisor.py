"""Keeps the pool's processes alive: starts them, hears of every end, replaces at once.

Who ends a process only marks why (`killed_for`). Everything that follows from an end, expected or not, happens in one place,
when the nursery has said how it ended: the job's runner is told, the slot gets a new process. Who is to leave in order is
given nothing more, and told to stop when it runs nothing.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from warren.errors import StartError
from warren.events import Events, JobProgress, ProcessExited, ProcessNotStarted, ProcessStarted
from warren.worker.assignment import Assignment
from warren.worker.blame import NURSERY_DIED, WIRE_LOST
from warren.worker.chores import Chores
from warren.worker.frames import Counted, Progress, Ready, Run, Stop, TaskInfo
from warren.worker.handling import Handling
from warren.worker.keeper import Exit
from warren.worker.lifeline import Fates, Lifeline
from warren.worker.output import last_line
from warren.worker.process import Listeners, PoolProcess
from warren.worker.roster import Renewal, Roster
from warren.worker.setup import Setup
from warren.worker.stacks import innermost

_STOP_SECONDS = 5.0
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
    changed: Callable[[], None]
    """Other processes can be used than before."""
    refusal: Callable[[PoolProcess], str] = lambda _: ""
    """Why a process that has loaded its tasks cannot be used all the same."""


class Supervisor:
    """Keeps a pool at its size: starts processes, replaces them, has those leave that are too many."""

    def __init__(self, size: int, setup: Setup, events: Events, hooks: Hooks, roster: Roster) -> None:
        self.tasks: dict[str, TaskInfo] = {}
        self.size = size
        self.roster = roster
        self.renewal = Renewal(roster, self._start_later)
        self._events = events
        self._hooks = hooks
        self._chores = Chores()
        self._lifeline = Lifeline(
            setup,
            Fates(self._not_started, lambda *how: self._chores.do(self._bury(*how)), self._nursery_gone),
        )
        self._restart_seconds = _RESTART_FIRST_SECONDS
        self._stopping = False
        self._early_deaths = 0
        self._first: asyncio.Future[None] | None = None
        self.handling = Handling(self._lifeline.send, self._chores.do)

    async def start(self) -> None:
        """Start all processes; returns when the first can run jobs.

        Raises:
            StartError: the modules cannot be imported.
        """
        self._first = asyncio.get_running_loop().create_future()
        for slot in range(self.size):
            await self._launch(self._enter(slot))
        await self._first

    def resize(self, size: int) -> None:
        """Have another number of processes: more at once, fewer as soon as those too many have finished what they run."""
        before, self.size = self.size, size
        for slot in range(before, size):
            self._start_later(slot)
        for slot in range(size, before):
            for process in self.roster.vacate(slot):
                self._leave(process)

    async def stop(self) -> None:
        """End all processes: idle ones in peace, the rest by force."""
        self._stopping = True
        for process in self.roster:
            process.tell(Stop())
        if self._lifeline.has_processes:
            with suppress(TimeoutError):  # the nursery kills whatever is left when its control socket closes
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._lifeline.empty.wait()
        await self._lifeline.close()
        for process in self.roster:
            if process.alive:
                await process.conclude(None)
        await self._lifeline.fall_silent()

    def _start_later(self, slot: int) -> None:
        """Start a process for a slot; for one that works there, a successor."""
        if not self._stopping and slot < self.size:
            self._chores.do(self._launch(self._enter(slot)))

    async def _launch(self, process: PoolProcess) -> None:
        try:
            await self._lifeline.launch(process)
        except OSError as error:
            self._not_started(process, str(error))

    def _enter(self, slot: int) -> PoolProcess:
        hooks = self._hooks
        listeners = Listeners(
            self._process_ready,
            self._cannot_load,
            lambda _: self._lifeline.prepare(),
            self._rested,
            hooks.returned,
            self._freed,
            hooks.counted,
            lambda run, progress: self._events.emit(_progress(run, progress)),
            lambda process: self.handling.kill(process, WIRE_LOST),
        )
        process = PoolProcess(slot, listeners)
        self.roster.add(process)
        return process

    def _not_started(self, process: PoolProcess, error: str) -> None:
        self._events.emit(ProcessNotStarted(process.slot, error))
        process.killed_for = f"cannot be started: {error}"
        _fail_start(self._first, f"a pool process {process.killed_for}")
        self._chores.do(process.conclude(None))
        self._replace(process)

    def _process_ready(self, process: PoolProcess, ready: Ready) -> None:
        if refusal := self._hooks.refusal(process):
            process.ready = False
            self._cannot_load(process, refusal)
            self._lifeline.send(process, signal.SIGKILL)
            return
        self.tasks = {info.name: info for info in ready.tasks}
        self._restart_seconds = _RESTART_FIRST_SECONDS
        self._events.emit(ProcessStarted(process.pid, process.slot))
        replaced = self.roster.ready(process)
        self._rested(process)
        if replaced is not None:
            self._leave(replaced)
            self.renewal.go_on()
        self._hooks.changed()
        self._freed()
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def _leave(self, process: PoolProcess) -> None:
        """Have a process go when it has finished what it runs; what waits in it goes to others."""
        process.leaving = True
        self.roster.leaving.add(process)
        self._hooks.changed()
        self._hooks.returned(process.take_back())
        self._rested(process)

    def _rested(self, process: PoolProcess) -> None:
        if not process.leaving:
            self._hooks.rested(process)
        elif process.alive and not process.busy:
            process.tell(Stop())

    def _freed(self) -> None:
        for process in self.roster.leaving:
            self._rested(process)
        self._hooks.freed()

    def _cannot_load(self, process: PoolProcess, error: str) -> None:
        process.killed_for = f"cannot load its tasks: {error}"
        _fail_start(self._first, f"cannot load the tasks: {error}")

    def _nursery_gone(self, lost: list[PoolProcess]) -> None:
        """All its processes died with it; their successors have another, after the wait that processes have."""
        if self._stopping:
            return
        self._early_deaths = 0 if any(process.ready for process in lost) else self._early_deaths + 1
        if self._early_deaths >= _EARLY_DEATHS and self._first is not None and not self._first.done():
            _fail_start(self._first, "the pool's nursery dies as it starts; its messages are above")
            return
        for process in lost:
            process.killed_for = process.killed_for or NURSERY_DIED
            self._chores.do(self._bury(process, None))

    async def _bury(self, process: PoolProcess, exit_: Exit | None) -> None:
        """The one place where the end of a process has its consequences."""
        process.alive = False
        self._hooks.changed()  # before what it ran ends: nothing is taken in its stead
        crash = await process.conclude(exit_)
        asked = (
            crash.exit_code == 0 and (process.ready or process.premature or process.leaving) and not process.killed_for
        )
        reason = "stopped" if asked or self._stopping else "killed" if process.killed_for else "crashed"
        detail, output, where = "", "", ""
        if reason != "stopped":
            detail, output, where = str(crash), last_line(crash.output), innermost(crash.stack)
        self._events.emit(ProcessExited(process.pid, process.slot, reason, detail, crash.max_rss, output, where))
        self._replace(process)

    def _replace(self, process: PoolProcess) -> None:
        """Start another: at once for one that had been working, with growing waits when processes cannot even start."""
        wait = 0.0
        if not (process.ready or process.premature):
            wait = self._restart_seconds
            self._restart_seconds = min(self._restart_seconds * 2, _RESTART_MAX_SECONDS)
            self.renewal.hold_up()
        needed = self.roster.ended(process)
        asyncio.get_running_loop().call_later(wait, self.renewal.fill, process.slot if needed else None)


def _fail_start(first: "asyncio.Future[None] | None", why: str) -> None:
    """Have `start` raise, if no process was ready before."""
    if first is not None and not first.done():
        first.set_exception(StartError(why))


def _progress(run: Run, progress: Progress) -> JobProgress:
    done, total = progress.done, progress.total
    return JobProgress(run.job_id, run.task, run.queue, done, total, run.attempt, run.replays)
