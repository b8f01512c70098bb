"""Deliveries in, executions on their way, each to its settle.

While jobs are very short the worker takes in more of them than it has processes (see `read_ahead`). That is an expectation:
when what waits has not moved for as long as it may wait, it goes back to its queue before anything more is taken.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog

from warren.amqp.seam import Delivery, cancelled
from warren.job import Job
from warren.topology import Names
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
        self._working: dict[Execution, asyncio.Task[None]] = {}
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
        self._cancel(execution for execution in self._waiting() if not execution.orphaned)

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Take nothing more, give back what has not started, wait for the rest: until the grace is over or somebody hurries."""
        await self._lanes.drain()
        self._cancel(self._waiting())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                hurried = asyncio.ensure_future(hurry.wait())
                while self._working and not hurried.done():
                    await asyncio.wait([hurried, *self._working.values()], return_when=asyncio.FIRST_COMPLETED)
                hurried.cancel()

    async def finish(self, seconds: float) -> None:
        """Wait for executions whose processes were taken away to be given back."""
        if self._working:
            await asyncio.wait(self._working.values(), timeout=seconds)
        for task in self._working.values():
            task.cancel()

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
        task = asyncio.get_running_loop().create_task(self._work(execution, job))
        self._working[execution] = task
        task.add_done_callback(lambda done: self._end(execution, done))
        if self._watch is None and len(self._working) > self._processes:
            self._watch_waiting()

    async def _work(self, execution: Execution, job: Job | None) -> None:
        """The way of one job: run, plan, settle."""
        try:
            if execution.plan is None:
                assert job is not None
                execution.plan = await self._runner.run(execution, job)
        except (Interrupted, asyncio.CancelledError):
            self._settler.give_back(execution)
            self.given_back += 1
            return
        await self._settler.settle(execution)
        self.done += 1

    def _end(self, execution: Execution, task: "asyncio.Task[None]") -> None:
        self._working.pop(execution, None)
        if task.cancelled():
            self._settler.park(execution)
        elif (error := task.exception()) is not None:
            structlog.get_logger("warren").error(
                "a bug in Warren: a job could not be handled and goes back to its queue; please report it",
                job_id=execution.key[0],
                task=execution.task,
                exc_info=error,
            )
            self._settler.give_up(execution)
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
            self._lanes.close_all_but(kept, then=lambda: self._cancel(surplus))

    def _waiting(self) -> list[Execution]:
        return [execution for execution in self._working if not execution.started and execution.plan is None]

    def _cancel(self, executions: Iterable[Execution]) -> None:
        """Have those that have not begun meanwhile given back."""
        self._runner.pool.take_back()
        for execution in list(executions):
            if not execution.started and execution in self._working:
                self._working[execution].cancel()
