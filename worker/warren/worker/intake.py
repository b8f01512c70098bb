"""Deliveries in, executions on their way: one lane, a consumer with prefetch 1, for each process of the pool.

A lane is open only while a process can soon take what comes by it. After a reconnect the lanes of jobs that still run stay
closed until those end: so the worker never holds a job that it cannot start, and a lost connection brings no second wave.
"""

import asyncio
from contextlib import suppress
from typing import Any

import structlog

from warren.amqp.seam import AmqpError, Delivery, Settle, cancelled
from warren.job import Job
from warren.topology import Names
from warren.worker.execution import Execution, Runner, key_of
from warren.worker.fanout import Interrupted
from warren.worker.plan import Plan
from warren.worker.session import Session
from warren.worker.settle import Settler

_QUIET_SECONDS = 5.0


class Intake:
    """Owns the executions in progress.

    Args:
        lanes: the queue of each lane.
    """

    def __init__(self, lanes: tuple[str, ...], names: Names, runner: Runner, settler: Settler) -> None:
        self.done = 0
        self.given_back = 0
        self._lanes = lanes
        self._names = names
        self._runner = runner
        self._settler = settler
        self._session: Session | None = None
        self._working: dict[Execution, asyncio.Task[None]] = {}
        self._draining = False
        self._late: list[tuple[Session, Delivery]] = []
        """What came while the consumers were being cancelled."""
        self._chores: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    @property
    def running(self) -> int:
        """Executions in progress."""
        return len(self._working)

    async def open(self, session: Session) -> None:
        """Take deliveries from a new session."""
        self._session = session
        for orphan in self._settler.adopt(session):
            self._start(orphan, None)
        occupied = {execution.lane for execution in self._working}
        for lane, queue in enumerate(self._lanes):
            if lane not in occupied and not self._draining:
                await session.open_lane(lane, queue, self._deliver)

    def lost(self, session: Session, reason: str) -> None:
        """Hear why a session ended."""
        deleted = [queue for queue in set(self._lanes) if reason == cancelled(self._names.queue(queue))]
        self._settler.lost(session, deleted[0] if deleted else None)

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Take nothing more, give back what has not started, wait for the rest: until the grace is over or somebody hurries."""
        self._draining = True
        if self._session is not None and self._session.alive:
            with suppress(TimeoutError):  # a broker that does not answer sends nothing new either
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._session.quiet()
        for session, delivery in self._late:
            session.settle(delivery, Settle.GIVE_BACK)
        for execution, task in list(self._working.items()):
            if not execution.started and execution.plan is None:
                task.cancel()
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
        if not session.alive:
            return  # the broker has it back already
        if self._draining:
            # Given back when the consumers are gone: at once, it would be handed out again to the next of them.
            self._late.append((session, delivery))
            return
        queue = self._names.queue_of(delivery.queue)
        accepted = self._runner.accept(delivery.message, queue)
        if isinstance(accepted, Plan):
            refused = accepted.publishes[0].message.message_id or ""
            self._start(Execution(session, delivery, lane, (refused, 0, 0, 0), queue, plan=accepted), None)
            return
        key = key_of(accepted, delivery.message)
        begun = self._settler.begin(Execution(session, delivery, lane, key, queue, accepted.task))
        if begun.freed is not None:
            self._reopen(begun.freed)
        if begun.work is not None:
            self._start(begun.work, accepted)

    def _start(self, execution: Execution, job: Job | None) -> None:
        task = asyncio.get_running_loop().create_task(self._work(execution, job))
        self._working[execution] = task
        task.add_done_callback(lambda done: self._end(execution, done))

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
        self._reopen(execution.lane)

    def _reopen(self, lane: int) -> None:
        session = self._session
        if session is None or not session.alive or self._draining or session.has_lane(lane):
            return

        async def reopen() -> None:
            with suppress(AmqpError):  # a loss ends the session, and the next one opens its lanes itself
                await session.open_lane(lane, self._lanes[lane], self._deliver)

        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(reopen())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
