"""Reading the queue of dead letters without changing it: every letter is held until it is settled, and goes back otherwise.

AMQP has no browsing. A consumer that acknowledges nothing sees as many messages as its prefetch allows; so when one is full of
letters that stay, another is opened beside it for the next ones. Closing the connection gives everything back; the broker then
hands it out in any order, so whoever wants an order sorts.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from warren import dead_letter
from warren.amqp.seam import Connection, ConnectionLost, Delivery, Settle
from warren.dead_letter import DeadLetter

_PAGE = 500
"""Letters of one consumer: bounds what lies here unread, should each be as big as a job may be."""
_QUIET_SECONDS = 2.0
"""When nothing came for so long, somebody else holds the rest."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant; patterns may have * and ?."""

    ids: frozenset[str] = frozenset()
    queue: str | None = None
    task: str | None = None
    reason: str | None = None

    def __contains__(self, letter: DeadLetter) -> bool:
        if self.ids and letter.id not in self.ids:
            return False
        pairs = ((self.queue, letter.queue), (self.task, letter.task), (self.reason, letter.reason))
        return all(pattern is None or fnmatchcase(value, pattern) for pattern, value in pairs)


@dataclass(frozen=True, slots=True)
class Held:
    """A dead letter and the delivery that must be settled for it to go away."""

    letter: DeadLetter
    delivery: Delivery


class Reading:
    """One look at the dead letters that are there when it begins; those that come later are not its business.

    Attributes:
        present: how many there were.
        seen: how many of them were looked at so far.
    """

    def __init__(self, connection: Connection, queue: str, *, page: int = _PAGE, quiet: float = _QUIET_SECONDS) -> None:
        self.present = 0
        self.seen = 0
        self._connection = connection
        self._queue = queue
        self._page = page
        self._quiet = quiet
        self._room = 0
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        connection.lost.add_done_callback(lambda _: self._news.set())

    async def letters(self, wanted: Wanted) -> AsyncGenerator[Held, None]:
        """Yield the letters that are wanted, in the broker's order.

        Raises:
            ConnectionLost: the rest cannot be looked at.
        """
        depth = await self._connection.depth(self._queue)
        self.present = depth.ready if depth is not None else 0
        while self.seen < self.present:
            delivery = await self._next()
            if delivery is None:
                return
            self.seen += 1
            letter = dead_letter.read(delivery.message, delivery.routing_key, time.time())
            if letter in wanted:
                yield Held(letter, delivery)

    def remove(self, held: Held) -> None:
        """Remove a letter for good.

        Raises:
            ConnectionLost: it is back in its queue.
        """
        self._room += 1
        if not self._connection.settle(held.delivery, Settle.ACK):
            raise ConnectionLost("a dead letter came back before it could be removed")

    def check(self) -> None:
        """Make sure that what is held is still ours.

        Raises:
            ConnectionLost: it is not.
        """
        if self._connection.lost.done():
            raise ConnectionLost(self._connection.lost.result())

    async def _next(self) -> Delivery | None:
        if not self._arrived and self._room == 0:
            self._room = self._page
            await self._connection.consume(self._queue, self._take, prefetch=self._page)
        try:
            async with asyncio.timeout(self._quiet):
                while not self._arrived:
                    self.check()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        self.check()
        return self._arrived.popleft()

    def _take(self, delivery: Delivery) -> None:
        self._room -= 1
        self._arrived.append(delivery)
        self._news.set()
