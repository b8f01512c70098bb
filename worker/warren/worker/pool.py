"""The pool: runs units of work on processes that it keeps alive, and takes back what must not wait for one."""

import asyncio
import math
from collections.abc import Callable

from warren.events import Events, PoolResized
from warren.status import ProcessStatus
from warren.worker.assignment import Assignment, Awaited, Killable, Work
from warren.worker.caps import Caps, Means, Watch
from warren.worker.dispatch import Dispatch
from warren.worker.ending import Ending
from warren.worker.frames import Counted, Ended, Run, TaskInfo, encode
from warren.worker.look import look
from warren.worker.loop_watch import LoopWatch
from warren.worker.places import Places
from warren.worker.roster import Roster
from warren.worker.setup import Setup
from warren.worker.supervisor import Hooks, Supervisor
from warren.worker.vigil import Patience, Vigil


class Pool:
    """Runs units of work, first come first served.

    Args:
        size: processes.
        setup: what each is told.
        events: hears of starts and ends.
        on_counted: given the metrics that tasks counted.
        depth: returns how many jobs a process may hold now, the running one among them.
        on_coroutines: told how many coroutine jobs are running, whenever that changes.
        caps: what each process may run and have.
        patience: with processes that hang.

    Attributes:
        size: how many processes there are, or will be in a moment; not counting those that leave.
        roster: the processes.
        ending: ends runs before they end by themselves.
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
        caps: Caps = Caps(),  # noqa: B008 - frozen
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self.size = size
        self._events = events
        self.on_resize: Callable[[int], None] = lambda _: None
        """Told the new number of processes."""
        self.on_usable: Callable[[int], None] = lambda _: None
        """Told how many of them can be given something, when that may have changed."""
        self.roster = roster = Roster({})
        self._dispatch = Dispatch(roster.in_place, depth)
        self.coroutines = setup.coroutines
        self._places = Places(roster.in_place, setup.coroutines, roster.leaving)
        self._watch = Watch(caps, roster)
        hooks = Hooks(
            self._watch.before(self._dispatch.rested),
            self._dispatch.returned,
            self._watch.before_all(self._places.hand_out),
            on_counted,
            self._tell_usable,
            self._watch.refusal,
        )
        self._supervisor = Supervisor(size, setup, events, hooks, roster)
        handling, renew = self._supervisor.handling, self._supervisor.renewal.ask
        self.ending = Ending(self._dispatch, handling)
        means = Means(renew, self._dispatch.take_back_from, handling.kill, self._tell_usable)
        self._watch.means = means
        self._vigil = Vigil(roster, means.kill, events, patience=patience)
        self._upkeep: list[asyncio.Task[None]] = []
        watch = LoopWatch(roster.in_place, handling.stacks, events)
        self._places.on_change = watch.after(on_coroutines)

    async def start(self) -> None:
        """Start all processes; returns when the first can run jobs.

        Raises:
            StartError: the modules cannot be imported.
        """
        self._upkeep = [asyncio.create_task(keep()) for keep in (self._vigil.keep, self._watch.memory)]
        await self._supervisor.start()

    async def stop(self) -> None:
        """End all processes: idle ones in peace, the rest by force."""
        for each in self._upkeep:
            each.cancel()
        await asyncio.gather(*self._upkeep, return_exceptions=True)
        await self._supervisor.stop()

    def resize(self, size: int, why: str = "asked for") -> None:
        """Have another number of processes: more at once, fewer when those too many have finished what they run.

        Args:
            size: at least 1.
            why: for the log.

        Raises:
            ValueError: not a number of processes.
        """
        if size < 1:
            raise ValueError(f"a pool has at least 1 process, not {size}")
        if size != (before := self.size):
            self.size = size
            self._supervisor.resize(size)
            self.on_resize(size)
            self._events.emit(PoolResized(before, size, why))

    def recycle(self) -> None:
        """Have every process replaced: each finishes what it runs, and leaves when its successor is ready."""
        for process in tuple(self.roster.in_place.values()):
            self._supervisor.renewal.ask(process)

    @property
    def tasks(self) -> dict[str, TaskInfo]:
        """What can be run, by name."""
        return self._supervisor.tasks

    @property
    def counts(self) -> tuple[int, int, int]:
        """Processes that are free, busy, starting, together the pool's size; may be asked from any thread.

        One that leaves is none of them, though it may still run something.
        """
        processes = list(self.roster.in_place.values())
        busy = sum(process.busy for process in processes)
        free = sum(process.ready and process.alive and not process.busy for process in processes)
        return free, busy, max(0, self.size - busy - free)

    def status(self, at: float) -> tuple[ProcessStatus, ...]:
        """Return how each process is, also those that leave; `at` is now, in seconds since the epoch."""
        in_place = [look(process, at) for _, process in sorted(self.roster.in_place.items())]
        return (*in_place, *(look(process, at, leaves=True) for process in self.roster.leaving))

    def submit(self, run: Run, work: Work, *, kill_after: float | None = None, kill_at: float = math.inf) -> Assignment:
        """Have a unit run by a process, when one can take it; before that it can be withdrawn, see `take_back`.

        Args:
            run: a job, or items of one.
            work: hears what becomes of it.
            kill_after: seconds for one outcome, after which the process is killed.
            kill_at: when it is killed whatever its outcomes take, by the monotonic clock.
        """
        may_be_killed = kill_after is not None or kill_at < math.inf
        in_loop = run.unit is None and self.tasks[run.task].is_coroutine
        encoded = b"" if in_loop else encode(run)
        assignment = Assignment(run, encoded, work, alone=run.unit is not None or may_be_killed, in_loop=in_loop)
        if may_be_killed:
            seconds = math.inf if kill_after is None else kill_after
            assignment.work = Killable(work, seconds, kill_at, lambda why: self.ending.kill(assignment, why))
        (self._places if in_loop else self._dispatch).put(assignment)
        return assignment

    async def run(
        self,
        run: Run,
        on_ended: Callable[[Ended], None],
        *,
        on_start: Callable[[], None],
        kill_after: float | None = None,
        kill_at: float = math.inf,
        among: set[Assignment],
    ) -> None:
        """As `submit`, and wait for its end; cancelled before it is begun, it never is. Meanwhile it is `among` others.

        Raises:
            ProcessDied: the process ended before the last outcome.
        """
        work = Awaited(on_start, on_ended)
        assignment = self.submit(run, work, kill_after=kill_after, kill_at=kill_at)
        among.add(assignment)
        try:
            await work.done
        finally:
            among.discard(assignment)
            assignment.withdrawn = True

    def _tell_usable(self) -> None:
        self.on_usable(sum(process.usable for process in self.roster.in_place.values()))

    def take_back(self) -> None:
        """Have all that was not begun wait here: until the loop goes on, it can be withdrawn."""
        self._dispatch.take_back()

    async def stacks(self, seconds: float = 1.0) -> dict[int, str]:
        """Return the Python stacks of all processes' threads, by slot; nothing of one that does not answer in so many seconds."""
        return await self._supervisor.handling.stacks_of(self.roster.in_place.values(), seconds)

    def kill_busy(self, why: str) -> None:
        """Kill every process that runs something."""
        for process in self.roster:
            if process.busy:
                self._supervisor.handling.kill(process, why)

    def cancel(self, assignment: Assignment, grace: float) -> None:
        """Have a run end that is not wanted any more, within `grace` seconds; see `Ending.cancel`."""
        self.ending.cancel(assignment, grace)
