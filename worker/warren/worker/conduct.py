"""The way of each job that is in a worker's hands: run, planned, settled; or given back."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial

import structlog

from warren.control import Held
from warren.job import Job
from warren.worker.assignment import Assignment
from warren.worker.execution import Execution, Runner
from warren.worker.fanout import Interrupted
from warren.worker.settle import Settler

CANCEL_SECONDS = 5.0
"""So long may a cancelled job take to end; then its process is killed."""


class Conduct:
    """Owns the executions in progress. Only touched from the loop.

    Args:
        runner: runs and plans them.
        settler: settles them, or gives them back.
        on_end: called after each.
    """

    def __init__(self, runner: Runner, settler: Settler, on_end: Callable[[], None]) -> None:
        self.done = 0
        self.given_back = 0
        self.working: dict[Execution, asyncio.Task[None] | Assignment | None] = {}
        """And what each of them waits for."""
        self.idle = asyncio.Event()
        """Set while there are none."""
        self.idle.set()
        self._runner = runner
        self._settler = settler
        self._on_end = on_end

    def recall(self) -> list[Execution]:
        """Have no process hold what it has not begun, and return that."""
        self._runner.pool.take_back()
        return self.waiting()

    def waiting(self) -> list[Execution]:
        """Return those of which no process says that it has begun them."""
        return [execution for execution in self.working if not execution.started and execution.plan is None]

    def start(self, execution: Execution, job: Job | None) -> None:
        """Have it run, planned and settled; what has a plan already is settled."""
        self.working[execution] = None
        self.idle.clear()
        try:
            self._begin(execution, job)
        except Exception as bug:  # noqa: BLE001 - what called this shall not end by it
            self._give_up(execution, bug)

    def _begin(self, execution: Execution, job: Job | None) -> None:
        if execution.plan is not None or job is None:
            self._planned(execution)
        elif job.body.items is not None:
            self._await(execution, self._run_chunk(execution, job))
        else:
            assignment = self._runner.start(execution, job, partial(self._planned, execution))
            if assignment is not None:
                self.working[execution] = assignment

    def cancel(self, touches: Callable[[Execution], bool]) -> Held:
        """Have cancelled executions end: what has not begun at once, what runs as soon as it can; and tell what there were."""
        found = [execution for execution in self.working if touches(execution)]
        if not found:
            return Held()
        ended = [execution for execution in found if execution.plan is not None]
        retried = {
            execution for execution in ended if execution.plan is not None and execution.plan.retry_in is not None
        }
        self._runner.pool.take_back()
        left = [execution for execution in found if execution.plan is None]
        running = [execution for execution in left if execution.started]
        for execution in left:
            waits_for = self.working.get(execution)
            if isinstance(waits_for, Assignment):
                self._runner.pool.cancel(waits_for, CANCEL_SECONDS)
            elif execution.chunk is not None:
                execution.chunk.cancel(self._runner.pool, CANCEL_SECONDS)
        return Held(
            running=_ids(running),
            withdrawn=_ids(set(left).difference(running)),
            ended=_ids(set(ended) - retried),
            retried=_ids(retried),
        )

    def withdraw(self, executions: Iterable[Execution]) -> None:
        """Have those that have not begun, by what `recall` says, given back; not those whose queue is gone."""
        self._runner.pool.take_back()
        for execution in list(executions):
            waits_for = self.working.get(execution)
            if execution.started or execution.orphaned:
                continue
            if isinstance(waits_for, Assignment):
                waits_for.withdrawn = True
                self._give_back(execution)
            elif waits_for is not None:
                waits_for.cancel()

    async def finish(self, seconds: float) -> None:
        """Wait for executions whose processes were taken away to be given back; so is what is left then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.idle.wait()
        for execution, waits_for in list(self.working.items()):
            if isinstance(waits_for, asyncio.Task):
                waits_for.cancel()
                continue
            if waits_for is not None:
                waits_for.withdrawn = True
                waits_for.work.returned()
            self._give_back(execution)

    async def _run_chunk(self, execution: Execution, job: Job) -> None:
        try:
            await self._runner.run_chunk(execution, job)
        except (Interrupted, asyncio.CancelledError):
            self._give_back(execution)
        else:
            await self._settler.settle(execution)

    def _planned(self, execution: Execution, error: Exception | None = None) -> None:
        """Settle an execution that has its plan, at once if nothing is to be published first."""
        try:
            if execution not in self.working:
                pass  # given back when its process took too long to die
            elif isinstance(error, Interrupted):
                self._give_back(execution, suspect=error.suspect)
            elif error is not None:
                self._give_up(execution, error)
            elif self._settler.settle_at_once(execution):
                self.done += 1
                self._end(execution)
            else:
                self._await(execution, self._settler.settle(execution))
        except Exception as bug:  # noqa: BLE001 - what called this shall not end by it
            self._give_up(execution, bug)

    def _await(self, execution: Execution, rest: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(rest)
        self.working[execution] = task
        task.add_done_callback(partial(self._awaited, execution))

    def _awaited(self, execution: Execution, task: "asyncio.Task[None]") -> None:
        if execution not in self.working:
            return  # given back
        if task.cancelled() and execution.plan is None:
            self._give_back(execution)
        elif task.cancelled():
            self._settler.park(execution)
        elif (error := task.exception()) is not None:
            self._give_up(execution, error)
        else:
            self.done += 1
        self._end(execution)

    def _give_back(self, execution: Execution, *, suspect: bool = False) -> None:
        if suspect:
            self._settler.give_up(execution)
        else:
            self._settler.give_back(execution)
        self.given_back += 1
        self._end(execution)

    def _give_up(self, execution: Execution, error: BaseException) -> None:
        structlog.get_logger("warren").error(
            "a bug in Warren: a job could not be handled and goes back to its queue; please report it",
            job_id=execution.key[0],
            task=execution.task,
            exc_info=error,
        )
        self._settler.give_up(execution)
        self._end(execution)

    def _end(self, execution: Execution) -> None:
        if execution in self.working:
            del self.working[execution]
            if not self.working:
                self.idle.set()
            self._on_end()


def _ids(executions: Iterable[Execution]) -> tuple[str, ...]:
    return tuple(execution.key[0] for execution in executions)
