"""The consumers of a worker with one queue: one lane, a consumer with prefetch 1, for each process, and more while jobs are short.

A lane is open only while a process can soon take what comes by it. After a reconnect the lanes of jobs that still run stay
closed until those end: so the worker never holds a job that it cannot start, and a lost connection brings no second wave.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress

from warren.amqp.seam import AmqpError, Delivery, Settle
from warren.worker.read_ahead import ReadAhead
from warren.worker.session import OnDelivery, Session

_QUIET_SECONDS = 5.0
_RETURNS_SPARED = 10
"""Before RabbitMQ 4.3 a job given back is charged to its delivery limit; one that comes near it is kept until it can run."""


class Lanes:
    """As many consumers of the newest session as are wanted now.

    Args:
        queue: to consume from.
        ahead: says how many lanes are wanted: one for a process, and more while jobs are short.
        occupied: returns the lanes of the executions in progress.
        deliver: takes what comes, but for what comes while its consumer is being cancelled.
        is_paused: tells of a queue that no lane may be opened to it now.
    """

    def __init__(
        self,
        queue: str,
        ahead: ReadAhead,
        occupied: Callable[[], Iterable[int]],
        deliver: OnDelivery,
        *,
        is_paused: Callable[[str], bool],
    ) -> None:
        self._queue = queue
        self._ahead = ahead
        self._occupied = occupied
        self._deliver = deliver
        self._is_paused = is_paused
        self._session: Session | None = None
        self._room = ahead.room
        """What the lanes were last fitted to."""
        self._draining = False
        self._late: list[tuple[Session, Delivery]] = []
        self._chores: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    async def open(self, session: Session) -> None:
        """Consume by a new session."""
        self._session = session
        if not self._draining:
            opening = asyncio.get_running_loop().create_task(session.open_lanes(self._missing(session), self._take))
            self._chores.add(opening)
            opening.add_done_callback(self._chores.discard)
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask any more
            # Goes on when we are told to stop meanwhile, so that `drain` can close it: one half open could not be closed.
            await asyncio.wait([opening])
            opening.result()

    def balance(self) -> None:
        """Open the lanes that are missing; close idle ones when far fewer are wanted, and all of a paused queue."""
        session, paused = self._session, self._is_paused(self._queue)
        wanted = 0 if paused else self._ahead.limit
        if self._room != self._ahead.room and session is not None and session.alive and not self._draining:
            self._room = self._ahead.room
            if self._fit(session):
                return
        if session is None or not session.alive or self._draining or wanted <= len(session.lanes) <= 2 * wanted:
            return
        if missing := self._missing(session):
            self._do(session.open_lanes(missing, self._take))
            return
        surplus = max(0, len(session.lanes) - len(session.closing) - wanted)
        idle = session.lanes - session.closing - set(() if paused else self._occupied())
        if closable := sorted(idle, reverse=True)[:surplus]:
            self._do(self._close(session, set(closable)))

    def _fit(self, session: Session) -> bool:
        """Close every lane that is too many, as what is taken in must find a process; whether there were such.

        When more jobs run than may, nothing comes in until some of them have ended: then `balance` opens lanes again.
        """
        occupied = set(self._occupied())
        spare = self._ahead.limit - len(occupied)
        if len(session.lanes | occupied) <= self._ahead.limit:
            return False
        idle = sorted(session.lanes - occupied)
        self.close_all_but([*occupied, *idle[:spare]] if spare >= 0 else [])
        return True

    def close_all_but(self, kept: Iterable[int], then: Callable[[], None] = lambda: None) -> None:
        """Close lanes, and do this when nothing comes by them any more."""
        if self._session is not None and self._session.alive:
            self._do(self._close(self._session, self._session.lanes - set(kept), then))

    def lost(self, deleted: str | None) -> None:
        """Nothing is kept here that could be lost, but for what is to go back, and the broker has that already."""

    async def drain(self) -> None:
        """Take nothing more; what comes all the same goes back."""
        self._draining = True
        if self._session is not None and self._session.alive:
            with suppress(TimeoutError):  # a broker that does not answer sends nothing new either
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._session.close_lanes(set(self._session.lanes))
        self._return_late()

    def _take(self, session: Session, lane: int, delivery: Delivery) -> None:
        if not session.alive:
            return  # the broker has it back already
        if self._draining or (lane in session.closing and may_be_returned(delivery)):
            # Given back when the consumers are gone: at once, it would be handed out again to the next of them.
            self._late.append((session, delivery))
        else:
            self._deliver(session, lane, delivery)

    async def _close(self, session: Session, lanes: set[int], then: Callable[[], None] = lambda: None) -> None:
        await session.close_lanes(lanes)
        self._return_late()
        then()
        self.balance()  # others may have been closed at the same time

    def _return_late(self) -> None:
        late, self._late = self._late, []
        for session, delivery in late:
            session.settle(delivery, Settle.GIVE_BACK)

    def _missing(self, session: Session) -> dict[int, str]:
        """The lanes to be opened: with those that are open or occupied, there are then as many as wanted."""
        held = session.lanes.union(self._occupied())
        missing = self._ahead.limit - len(held)
        free = (lane for lane in itertools.count() if lane not in held)
        wanted = 0 if self._is_paused(self._queue) else max(0, missing)
        return dict.fromkeys(itertools.islice(free, wanted), self._queue)

    def _do(self, chore: Coroutine[None, None, None]) -> None:
        async def doing() -> None:
            with suppress(AmqpError):  # a loss ends the session, and the next one opens its lanes itself
                await chore

        task = asyncio.get_running_loop().create_task(doing())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def may_be_returned(delivery: Delivery) -> bool:
    """Tell whether a job can be given back without coming near its delivery limit."""
    returned = delivery.message.headers.get("x-delivery-count", 0)
    return not isinstance(returned, int) or returned < _RETURNS_SPARED
