"""Reading the history stream: from where the store is, in batches, with the broker holding back what is not taken yet."""

import asyncio
from collections import deque
from typing import Any

from warren.amqp.seam import OFFSET, Connection, Delivery, Settle, StreamAt, StreamOffset, StreamStart, Subscription

BATCH = 2_000
"""Messages that are written together at most."""
_AHEAD = 2 * BATCH
"""Messages that the broker sends before it waits: one batch is read while another is written."""


class Inflow:
    """What is read and not taken yet. Only touched from the loop.

    Args:
        connection: on which it is read.
        stream: its name.
    """

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._waiting: deque[Delivery] = deque()
        self._come = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._waiting

    @property
    def first_offset(self) -> int:
        """Where the first message stands that waits; there is one."""
        return offset_of(self._waiting[0])

    async def open(self, following: int | None) -> Subscription:
        """Begin to read at this offset; at the first message there is when it is None.

        Raises:
            AmqpError: not now.
        """
        start: StreamOffset = StreamStart.FIRST if following is None else StreamAt(following)
        return await self._connection.consume(self._stream, self._deliver, prefetch=_AHEAD, offset=start)

    async def first(self, seconds: float) -> bool:
        """Wait until something has come; False when nothing did in so many seconds, or the connection is lost."""
        coming = asyncio.ensure_future(self._come.wait())
        ends: list[asyncio.Future[Any]] = [coming, self._connection.lost]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        coming.cancel()
        return bool(self._waiting)

    async def take(self, moment: float) -> list[Delivery]:
        """Wait for messages, and a moment for more of them; return them in their order, a batch at most."""
        await self._come.wait()
        if len(self._waiting) < BATCH:
            await asyncio.sleep(moment)
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not self._waiting:
            self._come.clear()
        return batch

    def release(self, batch: list[Delivery]) -> None:
        """Have the broker send as many more."""
        for delivery in batch:
            self._connection.settle(delivery, Settle.ACK)

    def _deliver(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._come.set()


def offset_of(delivery: Delivery) -> int:
    """Return where in the stream a message stands."""
    offset = delivery.message.headers.get(OFFSET)
    assert isinstance(offset, int), "a delivery of a stream without its offset"
    return offset
