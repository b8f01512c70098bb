"""Sentinels: consumers with prefetch 1 on queues that have no job now, which bring the next one without being asked.

Together they may bring more than can begin. Such a surplus is held for a moment, as it may be next; then it goes back.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from warren.amqp.seam import AmqpError, Delivery, Settle
from warren.worker.lanes import may_be_returned
from warren.worker.read_ahead import HORIZON_SECONDS
from warren.worker.session import Session

_AGAIN_SECONDS = HORIZON_SECONDS / 4


class Sentinel:
    """One consumer: opened once, closed once.

    Args:
        session: to consume by.
        queue: by its name in settings.
        lane: its number, which no other consumer of this worker has.
        on_brought: takes what it brings; while it is being closed, too.
        on_opened: told when it is open, or cannot be.
    """

    def __init__(
        self,
        session: Session,
        queue: str,
        lane: int,
        on_brought: "Callable[[Sentinel, Delivery], None]",
        on_opened: "Callable[[Sentinel], None]",
    ) -> None:
        self.queue = queue
        self.lane = lane
        self.closing = False
        self._session = session
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(session.consume(queue, partial(on_brought, self)))
        self._opening.add_done_callback(lambda _: on_opened(self))
        self._closing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether it is there, and not being opened or closed."""
        return self._opening.done() and not self.failed and not self.closing

    @property
    def failed(self) -> bool:
        """Whether it could not be opened."""
        return self._opening.done() and (self._opening.cancelled() or self._opening.exception() is not None)

    @property
    def closed(self) -> bool:
        """Whether nothing comes by it any more."""
        return self._closing is not None and self._closing.done()

    def close(self) -> "asyncio.Task[None]":
        """Begin to close it, if that has not begun; what it brought can still be settled."""
        self.closing = True
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        with suppress(AmqpError):  # it could not be opened, or all is lost
            await self._session.cancel(await self._opening)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A job that a sentinel brought, or that came too late, and has not begun."""

    delivery: Delivery
    lane: int
    sentinel: Sentinel | None
    since: float


class Sentinels:
    """Those of one session, at most one at a time on each queue, and what they brought.

    Args:
        session: to consume by.
        queues: by their names in settings.
        lanes: numbers for them.
        on_news: called with its queue's name when one has brought something, is open, or cannot be opened.
        is_paused: tells of a queue that nothing of it may begin now.
    """

    def __init__(
        self,
        session: Session,
        queues: Iterable[str],
        lanes: "itertools.count[int]",
        on_news: Callable[[str], None],
        *,
        is_paused: Callable[[str], bool],
    ) -> None:
        self._session = session
        self._lanes = lanes
        self._on_news = on_news
        self._is_paused = is_paused
        self._posted: dict[str, Sentinel] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._held: dict[str, deque[Held]] = {queue: deque() for queue in queues}
        self._overdue: asyncio.TimerHandle | None = None

    @property
    def posted(self) -> bool:
        """Whether there are any."""
        return bool(self._posted)

    @property
    def all_open(self) -> bool:
        """Whether none is just being opened."""
        return all(sentinel.open for sentinel in self._posted.values())

    def watches(self, queue: str, occupied: Collection[int]) -> bool:
        """Whether whatever comes to a queue is brought: its sentinel has brought nothing that is still there."""
        sentinel = self._posted.get(queue)
        return sentinel is not None and sentinel.lane not in occupied

    def holds(self, queue: str) -> bool:
        """Whether something of a queue was brought and has not begun."""
        return bool(self._held[queue])

    def post(self, queues: Iterable[str], occupied: Collection[int]) -> None:
        """Have a sentinel on each of these that watches it; one that is of no use any more is relieved."""
        for queue in queues:
            if not self.watches(queue, occupied):
                self.withdraw((queue,))
                self._posted[queue] = Sentinel(self._session, queue, next(self._lanes), self._brought, self._opened)

    def withdraw(self, queues: Iterable[str] | None = None) -> None:
        """Begin to close those on these queues, or all."""
        for queue in tuple(self._posted) if queues is None else queues:
            if (sentinel := self._posted.pop(queue, None)) is not None:
                leaving = sentinel.close()
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def withdrawn(self) -> None:
        """Wait until nothing more is brought by those that were withdrawn."""
        while self._leaving:
            await asyncio.wait(self._leaving)

    def hold(self, queue: str, delivery: Delivery, lane: int, sentinel: Sentinel | None = None) -> None:
        """Keep what cannot begin now."""
        self._held[queue].append(Held(delivery, lane, sentinel, time.monotonic()))

    def take(self, queue: str) -> Held | None:
        """Return the first that was brought of a queue; it is the caller's then."""
        return self._held[queue].popleft() if self._held[queue] else None

    def dismiss_surplus(self) -> None:
        """When there is something that cannot begin, withdraw all, and have it go back if that lasts."""
        if any(self._held.values()):
            self.withdraw()
            self.return_soon()

    def return_soon(self) -> None:
        """Have what does not begin in time go back."""
        if self._overdue is None:
            self._overdue = asyncio.get_running_loop().call_later(HORIZON_SECONDS, self._return_overdue)

    def return_all(self) -> None:
        """Give back whatever has not begun."""
        for held in self._held.values():
            while held:
                self._session.settle(held.popleft().delivery, Settle.GIVE_BACK)

    def _return_overdue(self) -> None:
        """Give back what should have begun, once its consumer is gone: else it would come again."""
        self._overdue = None
        due, waiting = time.monotonic() - HORIZON_SECONDS, False
        for queue, all_held in self._held.items():
            kept = deque[Held]()
            for held in all_held:
                # What is near its delivery limit waits until it can begin; of a paused queue, that may be never.
                if not may_be_returned(held.delivery) and not self._is_paused(queue):
                    kept.append(held)
                elif held.since <= due and (held.sentinel is None or held.sentinel.closed):
                    self._session.settle(held.delivery, Settle.GIVE_BACK)
                else:
                    kept.append(held)
                    waiting = True
            self._held[queue] = kept
        if waiting and self._session.alive:
            self._overdue = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._return_overdue)

    def _brought(self, sentinel: Sentinel, delivery: Delivery) -> None:
        if self._session.alive:  # else the broker has it back already
            self.hold(sentinel.queue, delivery, sentinel.lane, sentinel)
            self._on_news(sentinel.queue)

    def _opened(self, sentinel: Sentinel) -> None:
        if sentinel.failed and self._posted.get(sentinel.queue) is sentinel:
            del self._posted[sentinel.queue]
        self._on_news(sentinel.queue)
