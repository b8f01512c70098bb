"""Deliveries in, executions on their way, each to its settle.

While jobs are very short the worker takes in more of them than it has processes (see `read_ahead`). That is an expectation:
when what waits has not moved for as long as it may wait, it goes back to its queue before anything more is taken.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from functools import partial

import structlog

from warren.amqp.seam import Delivery, cancelled
from warren.job import Job
from warren.topology import Names
from warren.worker.assignment import Assignment
from warren.worker.execution import Execution, Runner, key_of
from warren.worker.fanout import Interrupted
from warren.worker.lanes import Lanes, may_be_returned
from warren.worker.plan import Plan
from warren.worker.read_ahead import PATIENCE_SECONDS, ReadAhead
from warren.worker.session import Session
from warren.worker.settle import Settler


class Intake:
    """Owns the executions in progress.

    Args:
        queues: of the lanes, one for each process.
        ahead: says how many jobs may wait for a process.
    """

    def __init__(
        self, queues: tuple[str, ...], names: Names, runner: Runner, settler: Settler, ahead: ReadAhead
    ) -> None:
        self.done = 0
        self.given_back = 0
        self._names = names
        self._runner = runner
        self._settler = settler
        self._ahead = ahead
        self._lanes = Lanes(queues, ahead, lambda: (execution.lane for execution in self._working), self._deliver)
        self._processes = len(queues)
        self._working: dict[Execution, asyncio.Task[None] | Assignment | None] = {}
        """What they are waiting for."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """Executions in progress."""
        return len(self._working)

    async def open(self, session: Session) -> None:
        """Take deliveries from a new session."""
        for orphan in self._settler.adopt(session):
            self._start(orphan, None)
        await self._lanes.open(session)

    def lost(self, session: Session, reason: str) -> None:
        """Hear why a session ended."""
        deleted = [queue for queue in set(self._lanes.queues) if reason == cancelled(self._names.queue(queue))]
        self._settler.lost(session, deleted[0] if deleted else None)
        self._withdraw(execution for execution in self._waiting() if not execution.orphaned)

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Take nothing more, give back what has not started, wait for the rest: until the grace is over or somebody hurries."""
        await self._lanes.drain()
        self._withdraw(self._waiting())
        ends = [asyncio.ensure_future(event.wait()) for event in (self._idle, hurry)]
        await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()

    async def finish(self, seconds: float) -> None:
        """Wait for executions whose processes were taken away to be given back; so is what is left then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        for execution, waits_for in list(self._working.items()):
            if isinstance(waits_for, asyncio.Task):
                waits_for.cancel()
            else:
                self._give_back(execution)

    def _deliver(self, session: Session, lane: int, delivery: Delivery) -> None:
        """The consumers' callback: only begins work."""
        queue = self._names.queue_of(delivery.queue)
        accepted = self._runner.accept(delivery.message, queue)
        if isinstance(accepted, Plan):
            refused = accepted.publishes[0].message.message_id or ""
            self._start(Execution(session, delivery, lane, (refused, 0, 0, 0), queue, plan=accepted), None)
            return
        key = key_of(accepted, delivery.message)
        begun = self._settler.begin(Execution(session, delivery, lane, key, queue, accepted.task))
        if begun is not None:
            self._start(begun, accepted)
        else:
            self._lanes.balance()  # a known job may have come by another lane than before

    def _start(self, execution: Execution, job: Job | None) -> None:
        """Have it run, planned and settled; what has a plan already is settled."""
        self._working[execution] = None
        self._idle.clear()
        if execution.plan is not None or job is None:
            self._planned(execution)
        elif job.body.items is not None:
            self._await(execution, self._run_chunk(execution, job))
        else:
            assignment = self._runner.start(execution, job, partial(self._planned, execution))
            if assignment is not None:
                self._working[execution] = assignment
        if self._watch is None and len(self._working) > self._processes:
            self._watch_waiting()

    async def _run_chunk(self, execution: Execution, job: Job) -> None:
        try:
            await self._runner.run_chunk(execution, job)
        except (Interrupted, asyncio.CancelledError):
            self._give_back(execution)
            return
        await self._settle(execution)

    def _planned(self, execution: Execution, error: Exception | None = None) -> None:
        """Settle an execution that has its plan, at once if nothing is to be published first."""
        try:
            if execution not in self._working:
                pass  # given back when its process took too long to die
            elif isinstance(error, Interrupted):
                self._give_back(execution)
            elif error is not None:
                self._give_up(execution, error)
            elif self._settler.settle_at_once(execution):
                self.done += 1
                self._end(execution)
            else:
                self._await(execution, self._settle(execution))
        except Exception as bug:  # noqa: BLE001 - what called this shall not end by it
            self._give_up(execution, bug)

    async def _settle(self, execution: Execution) -> None:
        await self._settler.settle(execution)
        self.done += 1

    def _await(self, execution: Execution, rest: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(rest)
        self._working[execution] = task
        task.add_done_callback(lambda done: self._awaited(execution, done))

    def _awaited(self, execution: Execution, task: "asyncio.Task[None]") -> None:
        if task.cancelled() and execution.plan is None:
            self._give_back(execution)
        elif task.cancelled():
            self._settler.park(execution)
        elif (error := task.exception()) is not None:
            self._give_up(execution, error)
        self._end(execution)

    def _give_back(self, execution: Execution) -> None:
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
        if execution in self._working:
            del self._working[execution]
            if not self._working:
                self._idle.set()
            self._lanes.balance()

    def _watch_waiting(self) -> None:
        """Look at the first that waits again when it should have begun."""
        waiting = self._waiting()
        self._watch = None
        if waiting:
            self._watch = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look_at, waiting[0])

    def _look_at(self, first: Execution) -> None:
        """If it still waits, the expectation was wrong: give back what is more than the processes take next."""
        if first.started or first not in self._working:
            self._watch_waiting()
            return
        self._watch = None
        self._ahead.wrong()
        waiting, unfinished = self._waiting(), sum(execution.plan is None for execution in self._working)
        if unfinished > self._processes:
            surplus = {each for each in waiting[self._processes - unfinished :] if may_be_returned(each.delivery)}
            kept = (execution.lane for execution in self._working if execution not in surplus)
            self._lanes.close_all_but(kept, then=lambda: self._withdraw(surplus))

    def _waiting(self) -> list[Execution]:
        return [execution for execution in self._working if not execution.started and execution.plan is None]

    def _withdraw(self, executions: Iterable[Execution]) -> None:
        """Have those that have not begun given back."""
        self._runner.pool.take_back()
        for execution in list(executions):
            waits_for = self._working.get(execution)
            if execution.started:
                continue
            if isinstance(waits_for, Assignment):
                waits_for.withdrawn = True
                self._give_back(execution)
            elif waits_for is not None:
                waits_for.cancel()
