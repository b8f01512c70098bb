"""The consumers of a worker with one queue: a lane of width 1 for each process, and a wide one beside them while jobs are short.

The width of a lane is its consumer's prefetch: how many jobs that came by it may be here at a time. What may be read ahead comes
by one lane, as a consumer for each of those jobs would cost the broker half as much again. No lane is wider than what can soon
be started. After a reconnect, and when a wide lane was closed for narrower ones, the jobs that are still here have no lane: they
count as if each had one, so the worker never holds a job that it cannot start, and a lost connection brings no second wave.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress

from warren.amqp.seam import AmqpError, Delivery, Settle
from warren.worker.read_ahead import ReadAhead
from warren.worker.session import OnDelivery, Session

_QUIET_SECONDS = 5.0
_RETURNS_SPARED = 10
"""Before RabbitMQ 4.3 a job given back is charged to its delivery limit; one that comes near it is kept until it can run."""


class Lanes:
    """Consumers of the newest session, for as many jobs as are wanted now.

    Args:
        queue: to consume from.
        ahead: says how many jobs are wanted: one for a process, and more while jobs are short.
        occupied: returns the lane of each execution in progress.
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
        self._numbers = itertools.count()
        """Of lanes: never the same again, as jobs outlive the lane that they came by, and the session."""
        self._draining = False
        self._late: list[tuple[Session, Delivery]] = []
        self._chores: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    async def open(self, session: Session) -> None:
        """Consume by a new session."""
        self._session = session
        if not self._draining:
            opening = asyncio.get_running_loop().create_task(
                session.open_lanes(self._queue, self._missing(session), self._take)
            )
            self._chores.add(opening)
            opening.add_done_callback(self._chores.discard)
            opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask any more
            # Goes on when we are told to stop meanwhile, so that `drain` can close it: one half open could not be closed.
            await asyncio.wait([opening])
            opening.result()

    def balance(self) -> None:
        """Open the lanes that are missing; close some when far fewer jobs are wanted, and all of a paused queue."""
        session = self._session
        if session is None or not session.alive or self._draining:
            return
        if self._room != self._ahead.room:
            self._room = self._ahead.room
            if self._fit(session):
                return
        wanted = 0 if self._is_paused(self._queue) else self._ahead.limit
        missing = wanted - session.width
        if self._is_worth(missing):
            if widths := self._missing(session):
                self._do(self._opened(session.open_lanes(self._queue, widths, self._take)))
        elif session.width > 2 * wanted and (surplus := self._surplus(session, wanted)):
            self._do(self._close(session, surplus))

    def _is_worth(self, missing: int) -> bool:
        """Whether so many jobs more are worth a lane: of what may only wait, some at a time would be many lanes."""
        return missing > 0 and 2 * missing >= self._ahead.jobs

    def _surplus(self, session: Session, wanted: int) -> set[int]:
        """The lanes to be closed: the widest first, and of those for one job each those that have none."""
        occupied = set(self._occupied()) if wanted else set[int]()
        surplus = session.width - wanted - sum(session.lanes[lane] for lane in session.closing)
        found = set[int]()
        for lane in sorted(
            session.lanes.keys() - session.closing, key=lambda lane: (session.lanes[lane], lane), reverse=True
        ):
            if surplus > 0 and (session.lanes[lane] > 1 or lane not in occupied):
                found.add(lane)
                surplus -= session.lanes[lane]
        return found

    def _fit(self, session: Session) -> bool:
        """Close every lane that is too wide, as what is taken in must find a process; whether there were such.

        When more jobs run than may, nothing comes in until some of them have ended: then `balance` opens lanes again.
        """
        if self._held(session) <= self._ahead.limit:
            return False
        occupied = list(self._occupied())
        spare = self._ahead.limit - len(occupied)
        idle = sorted(session.lanes.keys() - set(occupied), key=lambda lane: (session.lanes[lane], lane))
        self.close_all_but([*occupied, *idle[:spare]] if spare >= 0 else [])
        return True

    def close_all_but(self, kept: Iterable[int], then: Callable[[], None] = lambda: None) -> None:
        """Close lanes, and do this when nothing comes by them any more.

        Args:
            kept: the lanes of jobs that stay; one by which more could come is closed all the same.
            then: called in the end.
        """
        if self._session is not None and self._session.alive:
            stay = Counter(kept)
            lanes = {lane for lane, width in self._session.lanes.items() if stay[lane] < width}
            self._do(self._close(self._session, lanes, then))

    def lost(self, deleted: str | None) -> None:
        """Nothing is kept here that could be lost, but for what is to go back, and the broker has that already."""

    async def drain(self) -> None:
        """Take nothing more; what comes all the same goes back."""
        self._draining = True
        if self._session is not None and self._session.alive:
            with suppress(TimeoutError):  # a broker that does not answer sends nothing new either
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._session.close_lanes(tuple(self._session.lanes))
        self._return_late()

    def _take(self, session: Session, lane: int, delivery: Delivery) -> None:
        if not session.alive:
            return  # the broker has it back already
        if self._draining or (lane in session.closing and may_be_returned(delivery)):
            # Given back when the consumers are gone: at once, it would be handed out again to the next of them.
            self._late.append((session, delivery))
        else:
            self._deliver(session, lane, delivery)

    async def _opened(self, opening: Coroutine[None, None, None]) -> None:
        await opening
        self.balance()  # more may be wanted by now

    async def _close(self, session: Session, lanes: set[int], then: Callable[[], None] = lambda: None) -> None:
        await session.close_lanes(lanes)
        self._return_late()
        then()
        self.balance()  # others may have been closed at the same time

    def _return_late(self) -> None:
        late, self._late = self._late, []
        for session, delivery in late:
            session.settle(delivery, Settle.GIVE_BACK)

    def _held(self, session: Session) -> int:
        """How many jobs may be here: as many as the lanes are wide, and those that have none."""
        return session.width + sum(lane not in session.lanes for lane in self._occupied())

    def _missing(self, session: Session) -> dict[int, int]:
        """The lanes to be opened, and their widths: with what is held already, as many jobs as wanted may come."""
        wanted = 0 if self._is_paused(self._queue) else self._ahead.limit
        missing = wanted - self._held(session)
        if not self._is_worth(missing):
            return {}
        narrow = sum(width == 1 for width in session.lanes.values())
        single = min(missing, max(0, self._ahead.processes - narrow))
        widths = [1] * single + [missing - single] * (missing > single)
        return {next(self._numbers): width for width in widths}

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
