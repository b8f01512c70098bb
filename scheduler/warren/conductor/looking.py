"""Finding results that have not come: in the stream in which the broker keeps all results for a day."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress

from warren import result
from warren.amqp.seam import AmqpError, Connection, Delivery, Message, Settle, StreamFrom
from warren.job import new_id
from warren.result import Result
from warren.states import FINAL
from warren.topology import Names

_PREFETCH = 500
_MOST_SECONDS = 60.0
_CLOCKS_SECONDS = 60
"""So much the clocks of broker and scheduler may differ."""


async def find_results(connection: Connection, names: Names, ids: Collection[str], since: float) -> dict[str, Result]:
    """Return the final results of jobs that the stream has since a moment; what can be read within a minute.

    Raises:
        AmqpError: it cannot be read.
    """
    found: dict[str, Result] = {}
    marker, seen_all = new_id(), asyncio.Event()

    def look(delivery: Delivery) -> None:
        connection.settle(delivery, Settle.ACK)
        message = delivery.message
        if message.correlation_id in ids and (one := result.from_message(message)) is not None and one.state in FINAL:
            found[one.id] = one
        if message.message_id == marker:
            seen_all.set()

    start = StreamFrom(max(1, int(min(since, time.time())) - _CLOCKS_SECONDS))
    reader = await connection.consume(names.results, look, prefetch=_PREFETCH, offset=start)
    try:
        # A stream does not say where it ends: publish a marker of our own and read up to it.
        mark = Message(b"", message_id=marker, type="marker")
        await connection.publish(mark, names.results, result.NOBODY, mandatory=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOST_SECONDS):
                await seen_all.wait()
    finally:
        with suppress(AmqpError):
            await connection.cancel(reader)
    return found
