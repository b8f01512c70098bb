"""Deliveries in, each to its execution; nothing more than can soon be run.

While jobs are very short the worker takes in more of them than it has processes (see `read_ahead`). That is an expectation:
when what waits has not moved for as long as it may wait, it goes back to its queue before anything more is taken.
"""

import asyncio
from collections.abc import Callable, Sequence

from warren.amqp.seam import Delivery, cancelled, missing
from warren.control import Held
from warren.shares import Share
from warren.topology import Names
from warren.worker.asking import Asking
from warren.worker.assignment import Assignment
from warren.worker.conduct import Conduct
from warren.worker.execution import Execution, Runner, key_of
from warren.worker.lanes import Lanes, may_be_returned
from warren.worker.order import Strict, Weighted
from warren.worker.plan import Plan
from warren.worker.read_ahead import PATIENCE_SECONDS, ReadAhead
from warren.worker.session import Session
from warren.worker.settle import Settler
from warren.worker.taking import Taking


class Intake:
    """Takes jobs in as they can be run, and gives back what cannot.

    Args:
        served: the queues to take jobs from.
        strict: whether their order counts, and not their weights.
        ahead: says how many jobs may run and wait.
        is_paused: tells of a queue that no job may be taken from it now.
    """

    def __init__(
        self,
        served: Sequence[Share],
        names: Names,
        runner: Runner,
        settler: Settler,
        ahead: ReadAhead,
        *,
        strict: bool = False,
        is_paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._queues = tuple(share.queue for share in served)
        self._names = names
        self._runner = runner
        self._settler = settler
        self._ahead = ahead
        self._is_paused = is_paused
        self._taking = self._way(served, strict=strict)
        self._conduct = Conduct(runner, settler, self._taking.balance)
        self._watch: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """Executions in progress."""
        return len(self._conduct.working)

    @property
    def counts(self) -> tuple[int, int]:
        """How many jobs were done and how many given back."""
        return self._conduct.done, self._conduct.given_back

    async def open(self, session: Session) -> None:
        """Take deliveries from a new session."""
        for orphan in self._settler.adopt(session):
            self._conduct.start(orphan, None)
        await self._taking.open(session)

    def pauses_changed(self) -> None:
        """Take jobs from the queues that may be taken from now; what waits here of the others goes back."""
        self._taking.close_all_but((), then=self._give_back_paused)

    def _give_back_paused(self) -> None:
        self._conduct.withdraw([one for one in self._conduct.recall() if self._is_paused(one.queue)])

    def cancel(self, touches: Callable[[Execution], bool]) -> Held:
        """Have cancelled executions end; see `Conduct.cancel`."""
        return self._conduct.cancel(touches)

    def lost(self, session: Session, reason: str) -> None:
        """Hear why a session ended."""
        named = ((queue, self._names.queue(queue)) for queue in self._queues)
        deleted = next((queue for queue, name in named if reason in (cancelled(name), missing(name))), None)
        self._taking.lost(deleted)
        self._settler.lost(session, deleted)
        self._conduct.withdraw(self._conduct.recall())

    def resize(self, processes: int) -> None:
        """Take in for another number of processes."""
        self._ahead.resize(processes)
        self._taking.balance()

    def usable(self, processes: int) -> None:
        """Take in for as many processes as can run something now."""
        if processes != self._ahead.usable:
            self._ahead.usable = processes
            self._taking.balance()

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Take nothing more, give back what has not started, wait for the rest: until the grace is over or somebody hurries."""
        await self._taking.drain()
        self._conduct.withdraw(self._conduct.recall())
        ends = [asyncio.ensure_future(event.wait()) for event in (self._conduct.idle, hurry)]
        await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()
        self._conduct.withdraw(self._conduct.recall())

    async def finish(self, seconds: float) -> None:
        """Wait for executions whose processes were taken away to be given back; so is what is left then."""
        await self._conduct.finish(seconds)

    def _way(self, served: Sequence[Share], *, strict: bool) -> Taking:
        """Return the way of taking jobs: one queue is consumed from, several are asked in turn."""
        if len(served) == 1:
            occupied = lambda: (execution.lane for execution in self._conduct.working)  # noqa: E731
            return Lanes(served[0].queue, self._ahead, occupied, self._deliver, is_paused=self._is_paused)
        order = Strict(self._queues) if strict else Weighted(served)
        return Asking(
            self._queues,
            order,
            self._ahead,
            working=lambda: self._conduct.working,
            deliver=self._deliver,
            is_paused=self._is_paused,
        )

    def _deliver(self, session: Session, lane: int, delivery: Delivery) -> None:
        """The consumers' callback."""
        queue = self._names.queue_of(delivery.queue)
        accepted = self._runner.accept(delivery.message, queue)
        if isinstance(accepted, Plan):
            refused = accepted.publishes[0].message.message_id or ""
            self._conduct.start(Execution(session, delivery, lane, (refused, 0, 0, 0), queue, plan=accepted), None)
            return
        key = key_of(accepted, delivery.message)
        begun = self._settler.begin(Execution(session, delivery, lane, key, queue, accepted.task))
        if begun is None:
            self._taking.balance()  # a known job may have come by another lane than before
            return
        self._conduct.start(begun, accepted)
        waits_for_place = False
        if self._ahead.in_places:
            self._taking.balance()
            waits_for_place = not begun.started and _is_for_place(self._conduct.working.get(begun))
        if self._watch is None and (waits_for_place or self.running > self._ahead.processes + self._ahead.in_places):
            self._watch_waiting()

    def _watch_waiting(self) -> None:
        """Look at the first that waits again when it should have begun."""
        waiting = self._conduct.waiting()
        self._watch = None
        if waiting:
            self._watch = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look_at, waiting[0])

    def _look_at(self, first: Execution) -> None:
        """If it still waits, the expectation was wrong: give back what is more than the processes take next.

        A coroutine job that waits is always more: a process that becomes free of a plain job has no place for it.
        """
        if first not in self._conduct.waiting() or first not in (waiting := self._conduct.recall()):
            self._watch_waiting()
            return
        self._watch = None
        self._ahead.wrong()
        working = self._conduct.working
        plain, more = list[Execution](), list[Execution]()
        for each in waiting:
            (more if _is_for_place(working.get(each)) else plain).append(each)
        unfinished = sum(execution.plan is None for execution in working) - self._ahead.in_places - len(more)
        if unfinished > self._ahead.processes:
            more += plain[self._ahead.processes - unfinished :]
        if more:
            surplus = {each for each in more if may_be_returned(each.delivery)}
            kept = (execution.lane for execution in working if execution not in surplus)
            self._taking.close_all_but(kept, then=lambda: self._conduct.withdraw(surplus))


def _is_for_place(waits_for: object) -> bool:
    """Whether what an execution waits for runs on an event loop, or waits for that."""
    return isinstance(waits_for, Assignment) and waits_for.in_loop
