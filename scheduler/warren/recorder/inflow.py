"""Reading the history stream: from where the store is, in batches, with the broker holding back what is not taken yet."""

import asyncio
from collections import deque
from typing import Any

from warren.amqp.seam import OFFSET, Connection, Delivery, Settle, StreamAt, StreamOffset, StreamStart, Subscription

BATCH = 4_000
"""Messages that are written together at most."""
BATCH_BYTES = 16_000_000
"""Of their bodies, but for a single message that is bigger."""
AHEAD, AHEAD_BYTES = 2 * BATCH, 2 * BATCH_BYTES
"""What may wait before no more is asked for: one batch is read while another is written."""
PREFETCH = 400
"""Messages on their way, however big they are."""
_TOGETHER = 100
"""Messages that are asked for at a time: one by one would be a packet each."""


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
        self._bytes = 0
        self._unsettled = 0
        self._last: Delivery | None = None
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
        return await self._connection.consume(self._stream, self._deliver, prefetch=PREFETCH, offset=start)

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
        if len(self._waiting) < BATCH and self._bytes < BATCH_BYTES:
            await asyncio.sleep(moment)
        batch = [self._waiting.popleft()]
        size = len(batch[0].message.body)
        while self._waiting and len(batch) < BATCH and size + len(self._waiting[0].message.body) <= BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].message.body)
        self._bytes -= size
        if not self._waiting:
            self._come.clear()
        self._ask()
        return batch

    def _deliver(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._bytes += len(delivery.message.body)
        self._unsettled += 1
        self._last = delivery
        if self._unsettled >= _TOGETHER:
            self._ask()
        self._come.set()

    def _ask(self) -> None:
        """Have the broker send more if there is room."""
        if self._last is not None and len(self._waiting) < AHEAD and self._bytes < AHEAD_BYTES:
            self._connection.settle(self._last, Settle.ACK)
            self._unsettled, self._last = 0, None


def offset_of(delivery: Delivery) -> int:
    """Return where in the stream a message stands."""
    offset = delivery.message.headers.get(OFFSET)
    assert isinstance(offset, int), "a delivery of a stream without its offset"
    return offset
