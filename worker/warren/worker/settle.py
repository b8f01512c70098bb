"""The one place where what an execution came to becomes broker actions: publishes, confirmed, then exactly one ack.

A plan is acted upon only over a delivery that is still ours. When its connection was lost, the execution is parked, as far as
it got; when the broker hands the job out again to this worker, settling goes on from there and the job does not run again.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Any, TypeVar

from warren.amqp.seam import Settle
from warren.events import Events, JobBuried, PublishDelayed, Published, RedeliveryRecognised, StaleSettle
from warren.worker.execution import Execution, Key
from warren.worker.outlet import CANNOT_PUBLISH, Outlet
from warren.worker.session import Session

V = TypeVar("V")

_REMEMBERED = 4_000
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 0.2, 5.0


class Settler:
    """Settles executions, and recognises those that come again. Only touched from the loop.

    Args:
        events: hears what was settled.
        outlet: publishes.
        deadline: seconds after which an unconfirmed publish is news.
        doubt: seconds before a loss in which an ack may have been lost with it.
    """

    def __init__(self, events: Events, outlet: Outlet, *, deadline: float, doubt: float) -> None:
        self._events = events
        self._outlet = outlet
        self._deadline = deadline
        self._doubt = doubt
        self._open: dict[Key, Execution] = {}
        """Running, or ended and being settled."""
        self._parked: OrderedDict[Key, Execution] = OrderedDict()
        """Ended, and their connection was gone at the ack."""
        self._acked: OrderedDict[Key, tuple[Session | None, float]] = OrderedDict()
        """Acked lately, over which session and when: an ack can still be lost with its connection."""
        self._unbegun: OrderedDict[Key, None] = OrderedDict()
        """Had not begun when their connection was lost."""

    def begin(self, execution: Execution) -> Execution | None:
        """Return the execution to work on for a new delivery, or None when there is nothing to be done.

        The delivery is of one we know only when the broker calls it redelivered and it came over another session than before:
        an equal message published twice is two jobs.
        """
        key, session = execution.key, execution.session
        known = self._parked.get(key) or self._open.get(key)
        if execution.delivery.redelivered and known is not None and (known.orphaned or known.session is not session):
            return self._attach(known, execution)
        acked_over, _ = self._acked.get(key, (session, 0.0))
        if execution.delivery.redelivered and acked_over is not session:
            session.settle(execution.delivery, Settle.ACK)
            self._recognised(execution, finished=True)
            return None
        if key in self._unbegun:
            del self._unbegun[key]
            execution.spared = True
        self._open.setdefault(key, execution)
        return execution

    def settle_at_once(self, execution: Execution) -> bool:
        """Settle an execution that has nothing left to publish; False when there is more to it than an ack."""
        assert execution.plan is not None
        session = execution.session
        if execution.published < len(execution.plan.publishes) or not session.alive:
            return False
        if execution.orphaned or session.settle(execution.delivery, Settle.ACK):
            self._done(execution)
            return True
        return False

    async def settle(self, execution: Execution) -> None:
        """Act on an execution's plan; returns when it is acked, or parked because its delivery is stale."""
        assert execution.plan is not None
        publishes, failures = execution.plan.publishes, 0
        while (session := execution.session).alive:
            if execution.published == len(publishes):
                if self.settle_at_once(execution):
                    return
                if execution.session is session:
                    break
                continue
            try:
                await self._publish_next(execution)
            except CANNOT_PUBLISH as error:
                failures += 1
                await self._wait(execution, error, failures)
        self.park(execution)

    def park(self, execution: Execution) -> None:
        """Keep an execution that has ended for the redelivery of its job."""
        self._forget(execution)
        _remember(self._parked, execution.key, execution)
        self._events.emit(StaleSettle(execution.key[0], execution.queue))

    def give_back(self, execution: Execution) -> None:
        """Return an execution that did not end to its queue, uncharged."""
        if not execution.session.settle(execution.delivery, Settle.GIVE_BACK):
            _remember(self._unbegun, execution.key, None)
        self._forget(execution)

    def give_up(self, execution: Execution) -> None:
        """Return an execution over which we failed ourselves, charged to its delivery limit so that it cannot loop for ever."""
        execution.session.settle(execution.delivery, Settle.RETURN)
        self._forget(execution)

    def lost(self, session: Session, deleted: str | None) -> None:
        """Take note that a session ended; what came over it from a queue that was deleted will not come again."""
        sure = time.monotonic() - self._doubt
        for key in [key for key, (_, acked_at) in self._acked.items() if acked_at < sure]:
            del self._acked[key]
        for execution in (*self._open.values(), *self._parked.values()):
            if execution.session is session and execution.queue == deleted:
                execution.orphaned = True

    def adopt(self, session: Session) -> list[Execution]:
        """Have orphans settled over a new session; return those that have ended already."""
        for execution in (*self._open.values(), *self._parked.values()):
            if execution.orphaned:
                execution.session = session
        ended = [execution for execution in self._parked.values() if execution.orphaned]
        for execution in ended:
            self._open[execution.key] = self._parked.pop(execution.key)
        return ended

    def _attach(self, known: Execution, execution: Execution) -> Execution | None:
        """Have a job that we run, or have run, settled by its new delivery."""
        known.session, known.delivery, known.lane = execution.session, execution.delivery, execution.lane
        known.orphaned = False
        self._recognised(execution, finished=known.plan is not None)
        if self._parked.pop(known.key, None) is None:
            return None
        self._open[known.key] = known
        return known

    async def _publish_next(self, execution: Execution) -> None:
        assert execution.plan is not None
        started = time.monotonic()
        if execution.sent is None:
            execution.sent = await self._outlet.send(execution.plan.publishes[execution.published])
            execution.sent.add_done_callback(_look_at_error)
        ends: list[asyncio.Future[Any]] = [execution.sent, execution.session.lost]
        await asyncio.wait(ends, timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED)
        if not execution.sent.done():
            if not execution.session.alive:
                return
            raise TimeoutError(f"no confirm within {self._deadline:g} s")
        sent, execution.sent = execution.sent, None
        try:
            sent.result()
        except CANNOT_PUBLISH as error:
            await self._outlet.repair(error)
            raise
        execution.published += 1
        self._events.emit(Published(time.monotonic() - started))

    async def _wait(self, execution: Execution, error: BaseException, failures: int) -> None:
        self._events.emit(PublishDelayed(execution.key[0], str(error) or type(error).__name__))
        wait = min(_RETRY_MAX_SECONDS, _RETRY_FIRST_SECONDS * 2 ** min(failures - 1, 10))
        await asyncio.wait([execution.session.lost], timeout=wait)

    def _done(self, execution: Execution) -> None:
        self._forget(execution)
        over = None if execution.orphaned else execution.session
        _remember(self._acked, execution.key, (over, time.monotonic()))
        buried = execution.plan.buried if execution.plan else None
        if buried is not None:
            key, queue = execution.key, execution.queue
            self._events.emit(JobBuried(key[0], execution.task, queue, buried.reason, buried.detail))

    def _forget(self, execution: Execution) -> None:
        if self._open.get(execution.key) is execution:
            del self._open[execution.key]

    def _recognised(self, execution: Execution, *, finished: bool) -> None:
        self._events.emit(RedeliveryRecognised(execution.key[0], execution.task, execution.queue, finished))


def _look_at_error(sent: "asyncio.Future[None]") -> None:
    """What became of it may never be asked: its execution can be parked for good."""
    if not sent.cancelled():
        sent.exception()


def _remember(kept: "OrderedDict[Key, V]", key: Key, value: V) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)
