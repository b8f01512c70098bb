"""The pool: runs units of work on processes that it keeps alive, and takes back what must not wait for one."""

from collections.abc import Callable

from warren.events import Events
from warren.worker.assignment import Assignment, Awaited, Killable, Work
from warren.worker.dispatch import Dispatch
from warren.worker.frames import Counted, Ended, Run, TaskInfo, encode
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
        processes: dict[int, PoolProcess] = {}
        self._dispatch = Dispatch(processes, depth)
        hooks = Hooks(self._dispatch.rested, self._dispatch.returned, on_counted)
        self._supervisor = Supervisor(size, setup, events, hooks, processes)

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
        assignment = Assignment(run, encode(run), work, alone=run.unit is not None or kill_after is not None)
        if kill_after is not None:
            assignment.work = Killable(work, kill_after, lambda: self._kill(assignment, kill_after))
        self._dispatch.put(assignment)
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
        self._dispatch.take_back()

    def kill_busy(self, why: str) -> None:
        """Kill every process that runs something."""
        for process in self._supervisor.processes.values():
            if process.held:
                self._supervisor.kill(process, why)

    def _kill(self, assignment: Assignment, kill_after: float) -> None:
        process = assignment.process
        if process is None or process.held[0] is not assignment:
            return
        self._dispatch.take_back_from(process)
        if list(process.held) == [assignment]:  # else it has ended just now, and the next one would be hit
            self._supervisor.kill(process, f"over its kill_after of {kill_after} s")
