"""Jobs of several queues: while a process is free, the queue whose turn it is is asked for one; idle queues are watched.

What a worker holds nobody else can start, and what it consumes comes in the broker's order and not in its own. So nothing is
consumed while there is work: a job is asked for (basic.get) when it can begin, of the queue that `order` says. A queue that has
none is left alone for a while. When none has any, a sentinel is posted on each queue (see `sentinels`), so that what arrives is
there at once. What several of them bring together and cannot begin is next when it is its queue's turn, or goes back within
some 20 ms. While all processes are busy for longer than that, there are no sentinels.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress

from warren.amqp.seam import AmqpError, ConnectionLost
from warren.worker.execution import Execution
from warren.worker.known import Known
from warren.worker.order import Order, Pick
from warren.worker.read_ahead import HORIZON_SECONDS, ReadAhead
from warren.worker.sentinels import Sentinels
from warren.worker.session import OnDelivery, Session

_QUIET_SECONDS = 5.0
_ASKED_AT_ONCE = 16
"""The broker answers those of one queue one after the other: more at a time are not faster."""
_REQUESTED = -1
"""The lane of what was asked for: it came by no consumer."""


class Asking:
    """Takes jobs from several queues.

    Args:
        queues: their names.
        order: says which queue is next.
        ahead: says how many jobs may be held.
        working: returns the executions in progress.
        deliver: takes a job that can begin.
        is_paused: tells of a queue that nothing shall be taken from it now; `close_all_but` is called when that changes.
    """

    def __init__(
        self,
        queues: Iterable[str],
        order: Order,
        ahead: ReadAhead,
        *,
        working: Callable[[], Collection[Execution]],
        deliver: OnDelivery,
        is_paused: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._queues = tuple(queues)
        self._order = order
        self._ahead = ahead
        self._working = working
        self._deliver = deliver
        self._is_paused = is_paused
        self._session: Session | None = None
        self._known = Known(self._queues, order.rest_seconds)
        self._sentinels: Sentinels | None = None
        self._lanes = itertools.count()
        self._draining = False
        self._feeding = False
        self._settled: asyncio.Future[None] | None = None
        """Done when a new session has its first job, or is watched."""
        self._busy: asyncio.TimerHandle | None = None
        self._chores: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    async def open(self, session: Session) -> None:
        """Take jobs by a new session; returns when one has begun, when there is no process for any, or when every queue is watched.

        Not when every process has one: with jobs that are short enough, that may never be.

        Raises:
            ConnectionLost: it ended before that.
        """
        if self._draining:
            return
        self._session = session
        self._known = Known(self._queues, self._order.rest_seconds)
        self._sentinels = Sentinels(session, self._queues, self._lanes, self._news, is_paused=self._is_paused)
        self._settled = settled = asyncio.get_running_loop().create_future()
        self._feed()
        await asyncio.wait([settled, session.lost], return_when=asyncio.FIRST_COMPLETED)
        if not settled.done():
            raise ConnectionLost(session.lost.result())

    def balance(self) -> None:
        """Take what can be run now: something has ended, or what may be taken has changed."""
        self._known.took()
        self._feed()

    def close_all_but(self, kept: Iterable[int], then: Callable[[], None]) -> None:  # noqa: ARG002 - nothing comes by those that are kept
        """Withdraw the sentinels, and do this when nothing comes by them any more."""
        session, sentinels = self._session, self._sentinels
        if session is not None and sentinels is not None and session.alive:

            async def close() -> None:
                sentinels.withdraw()
                await sentinels.withdrawn()
                then()
                self.balance()

            self._do(close())

    def lost(self, deleted: str | None) -> None:
        """Hear that the session has ended: what was brought of a queue that is deleted, nobody else has."""
        session, sentinels = self._session, self._sentinels
        while session is not None and sentinels is not None and deleted and (held := sentinels.take(deleted)):
            self._deliver(session, held.lane, held.delivery)

    async def drain(self) -> None:
        """Take nothing more; what comes all the same goes back."""
        self._draining = True
        if self._session is None or self._sentinels is None or not self._session.alive:
            return
        self._sentinels.withdraw()
        with suppress(TimeoutError):  # a broker that does not answer sends nothing new either
            async with asyncio.timeout(_QUIET_SECONDS):
                await asyncio.gather(*self._chores)
                await self._sentinels.withdrawn()
        # Not before: it would be handed out again to what was still there to take it.
        self._sentinels.return_all()

    @property
    def _free(self) -> int:
        """How many more jobs may be taken now."""
        return self._ahead.limit - len(self._working()) - self._known.asked

    @property
    def _occupied(self) -> set[int]:
        """The consumers whose last job is still here."""
        return {execution.lane for execution in self._working()}

    def _feed(self) -> None:
        """Take jobs until there is a job, or a question, for every process that is free."""
        session, sentinels = self._session, self._sentinels
        if session is None or sentinels is None or not session.alive or self._draining or self._feeding:
            return
        self._feeding = True
        sentinels.withdraw(filter(self._is_paused, self._queues))
        try:
            idle = False
            while self._free > 0 and self._known.asked < _ASKED_AT_ONCE:
                ready, asked = self._candidates(sentinels)
                pick = self._order.pick(ready, asked)
                if pick is None:
                    idle = not ready and not asked
                    break
                self._take(session, sentinels, pick)
        finally:
            self._feeding = False
        self._watch(sentinels, idle=idle)

    def _candidates(self, sentinels: Sentinels) -> tuple[list[str], list[str]]:
        """Return the queues that may have jobs, and those that are being asked whether they have."""
        occupied = self._occupied if sentinels.posted else ()
        return self._known.candidates(
            time.monotonic(),
            left_out=lambda queue: self._is_paused(queue) or sentinels.watches(queue, occupied),
            brought=lambda queue: sentinels.holds(queue) and not self._is_paused(queue),
        )

    def _take(self, session: Session, sentinels: Sentinels, pick: Pick) -> None:
        """Begin what was brought of a queue, or ask it for a job."""
        held = sentinels.take(pick.queue)
        if held is not None:
            self._known.took()
            self._deliver(session, held.lane, held.delivery)
            return
        self._known.asking(pick.queue)
        self._do(self._ask(session, sentinels, self._known, pick))

    async def _ask(self, session: Session, sentinels: Sentinels, known: Known, pick: Pick) -> None:
        try:
            delivery = await session.get(pick.queue)
        except AmqpError:
            self._order.undo(pick)
            raise
        known.answered(pick.queue, time.monotonic(), has_jobs=delivery is not None)
        if delivery is None:
            self._order.undo(pick)
        elif self._draining or self._is_paused(pick.queue):
            sentinels.hold(pick.queue, delivery, _REQUESTED)
        else:
            self._deliver(session, _REQUESTED, delivery)
        self._feed()

    def _watch(self, sentinels: Sentinels, *, idle: bool) -> None:
        """Post sentinels when there is nothing to ask, withdraw them when there is enough to do."""
        if self._free > 0:
            if self._busy is not None:
                self._busy.cancel()
                self._busy = None
            if idle:
                sentinels.post(itertools.filterfalse(self._is_paused, self._queues), self._occupied)
        elif sentinels.posted and self._busy is None:
            self._busy = asyncio.get_running_loop().call_later(HORIZON_SECONDS, self._withdraw, sentinels)
        full = self._free + self._known.asked <= 0
        if full:
            sentinels.dismiss_surplus()
        elif any(map(sentinels.holds, filter(self._is_paused, self._queues))):
            sentinels.return_soon()
        if self._settled and not self._settled.done():
            begun = any(execution.session is self._session for execution in self._working())
            if begun or full or (idle and sentinels.all_open):
                self._settled.set_result(None)

    def _withdraw(self, sentinels: Sentinels) -> None:
        """No process has been free for a while."""
        self._busy = None
        sentinels.withdraw()

    def _news(self, queue: str) -> None:
        """A sentinel has brought something, is open, or cannot be opened: then its queue is asked, and that tells why."""
        self._known.may_have_jobs(queue)
        self._feed()

    def _do(self, chore: Coroutine[None, None, None]) -> None:
        async def doing() -> None:
            with suppress(AmqpError):  # a loss ends the session, and the next one begins anew
                await chore

        task = asyncio.get_running_loop().create_task(doing())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
