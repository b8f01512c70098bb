"""The pool: runs units of work on processes that it keeps alive, and takes back what must not wait for one."""

import asyncio
from collections.abc import Callable

from warren.events import Events
from warren.outcome import Crashed
from warren.status import ProcessStatus
from warren.worker.assignment import Assignment, Awaited, Killable, Work
from warren.worker.blame import CANCELLED
from warren.worker.dispatch import Dispatch
from warren.worker.frames import Counted, Ended, Run, TaskInfo, encode
from warren.worker.look import look
from warren.worker.loop_watch import LoopWatch
from warren.worker.places import Places
from warren.worker.process import PoolProcess
from warren.worker.setup import Setup
from warren.worker.supervisor import Hooks, Supervisor


class Pool:
    """Runs units of work, first come first served.

    Args:
        size: processes.
        setup: what each is told.
        events: hears of starts and ends.
        on_counted: given the metrics that tasks counted.
        depth: returns how many jobs a process may hold now, the running one among them.
        on_coroutines: told how many coroutine jobs are running, whenever that changes.
    """

    def __init__(
        self,
        size: int,
        setup: Setup,
        events: Events,
        *,
        on_counted: Callable[[Counted], None],
        depth: Callable[[], int] = lambda: 1,
        on_coroutines: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.size = size
        processes: dict[int, PoolProcess] = {}
        self._dispatch = Dispatch(processes, depth)
        self.coroutines = setup.coroutines
        self._places = Places(processes, setup.coroutines)
        hooks = Hooks(self._dispatch.rested, self._dispatch.returned, self._places.hand_out, on_counted)
        self._supervisor = Supervisor(size, setup, events, hooks, processes)
        watch = LoopWatch(processes, self._supervisor.handling.stacks, events)

        def changed(running: int) -> None:
            on_coroutines(running)
            watch.go_on(running)

        self._places.on_change = changed

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

    def status(self, at: float) -> tuple[ProcessStatus, ...]:
        """Return how each process is; `at` is now, in seconds since the epoch."""
        return tuple(look(process, at) for _, process in sorted(self._supervisor.processes.items()))

    def submit(self, run: Run, work: Work, *, kill_after: float | None = None) -> Assignment:
        """Have a unit run by a process, when one can take it; before that it can be withdrawn, see `take_back`.

        Args:
            run: a job, or items of one.
            work: hears what becomes of it.
            kill_after: seconds for one outcome, after which the process is killed.
        """
        in_loop = run.unit is None and self.tasks[run.task].is_coroutine
        encoded = b"" if in_loop else encode(run)
        assignment = Assignment(
            run, encoded, work, alone=run.unit is not None or kill_after is not None, in_loop=in_loop
        )
        if kill_after is not None:
            why = f"over its kill_after of {kill_after} s"
            assignment.work = Killable(work, kill_after, lambda: self._kill(assignment, why))
        (self._places if in_loop else self._dispatch).put(assignment)
        return assignment

    async def run(
        self,
        run: Run,
        on_ended: Callable[[Ended], None],
        *,
        on_start: Callable[[], None],
        kill_after: float | None = None,
        among: set[Assignment],
    ) -> None:
        """As `submit`, and wait for its end; cancelled before it is begun, it never is. Meanwhile it is `among` others.

        Raises:
            ProcessDied: the process ended before the last outcome.
        """
        work = Awaited(on_start, on_ended)
        assignment = self.submit(run, work, kill_after=kill_after)
        among.add(assignment)
        try:
            await work.done
        finally:
            among.discard(assignment)
            assignment.withdrawn = True

    def take_back(self) -> None:
        """Have all that was not begun wait here: until the loop goes on, it can be withdrawn."""
        self._dispatch.take_back()

    async def stacks(self, seconds: float = 1.0) -> dict[int, str]:
        """Return the Python stacks of all processes' threads, by slot; nothing of one that does not answer in so many seconds."""
        return await self._supervisor.handling.stacks_of(self._supervisor.processes.values(), seconds)

    def kill_busy(self, why: str) -> None:
        """Kill every process that runs something."""
        for process in self._supervisor.processes.values():
            if process.busy:
                self._supervisor.handling.kill(process, why)

    def interrupt(self, assignment: Assignment, why: str) -> None:
        """Raise in a job's own code that it is cancelled, if it runs: `Cancelled` in a plain task, `CancelledError` in a coroutine."""
        process = assignment.process
        if process is None or not self._is_alone(process, assignment):
            return
        if assignment.in_loop:
            process.loop.interrupt(assignment, why)
        else:
            self._supervisor.handling.interrupt(process, assignment)

    def cancel(self, assignment: Assignment, grace: float) -> None:
        """Have a run end that is not wanted any more: it never begins, or is interrupted, and killed if it goes on for `grace` s.

        By whatever way it ends, its work hears of that; of a kill, or when it never begins, as a crash for `CANCELLED`.
        """
        self.take_back()
        if assignment.process is None:
            assignment.withdrawn = True
            assignment.work.over(Crashed(None, None, killed_for=CANCELLED))
            return
        self.interrupt(assignment, CANCELLED)
        asyncio.get_running_loop().call_later(grace, self._kill, assignment, CANCELLED)

    def _kill(self, assignment: Assignment, why: str) -> None:
        process = assignment.process
        if process is None or not self._is_alone(process, assignment):
            return
        process.culprit = assignment
        self._supervisor.handling.kill(process, why)

    def _is_alone(self, process: PoolProcess, assignment: Assignment) -> bool:
        """See to it that a process runs this in its main thread, or on its loop, and that nothing else begins there."""
        if assignment.in_loop:
            return assignment.number in process.loop.running
        if process.held and process.held[0] is assignment:
            self._dispatch.take_back_from(process)
        return list(process.held) == [assignment]  # else it has ended just now, and the next one would be hit
