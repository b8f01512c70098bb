"""Hearing of workers from the stream of their statuses: once up to now, or on and on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from warren import status as statuses
from warren.amqp.seam import ChannelRefused, Connection, ConnectionLost, Delivery, Message, Settle, StreamFrom
from warren.console.fleet import Fleet
from warren.errors import BrokerBlocked, BrokerUnavailable
from warren.job import new_id
from warren.status import WorkerStatus
from warren.topology import Names

_PREFETCH = 500
_MARKER = "marker"
_MISSING = 404


async def survey(connection: Connection, names: Names, keep: float, timeout: float) -> Fleet:
    """Return the workers that said something lately.

    Args:
        connection: to be used.
        names: of the namespace.
        keep: how lately, in seconds.
        timeout: seconds until it is an error.

    Raises:
        BrokerUnavailable, BrokerBlocked: no answer in time.
        ConnectionLost, ChannelRefused: as the seam says.
    """
    fleet, marker = Fleet(keep), new_id()
    all_heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def marked(message_id: str) -> None:
        if message_id == marker and not all_heard.done():
            all_heard.set_result(None)

    try:
        async with asyncio.timeout(timeout), following(connection, names, keep, fleet.hear, marked):
            # A stream does not say where it ends: publish a marker of our own and read up to it.
            await connection.publish(Message(b"", message_id=marker, type=_MARKER), names.workers, "", mandatory=False)
            ends: list[asyncio.Future[Any]] = [all_heard, connection.lost]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not all_heard.done():
                raise ConnectionLost(connection.lost.result())
    except TimeoutError as error:
        if connection.blocked:
            raise BrokerBlocked("the broker takes no messages now, and telling the workers needs one") from error
        raise BrokerUnavailable(f"the broker did not answer within {timeout:g} s") from error
    except ChannelRefused as error:
        if error.code != _MISSING:
            raise
        # No worker has ever been here, so there is no stream.
    return fleet


@asynccontextmanager
async def following(
    connection: Connection,
    names: Names,
    since: float,
    hear: Callable[[WorkerStatus], None],
    marked: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Hear every status of the last `since` seconds, then what comes, for as long as the block takes.

    Raises:
        ChannelRefused: there is no stream (404), or the right to read it is missing (403).
    """

    def take(delivery: Delivery) -> None:
        connection.settle(delivery, Settle.ACK)
        status = statuses.from_message(delivery.message)
        if status is not None:
            hear(status)
        elif delivery.message.type == _MARKER:
            marked(delivery.message.message_id or "")

    reader = await connection.consume(
        names.workers, take, prefetch=_PREFETCH, offset=StreamFrom(int(time.time() - since))
    )
    try:
        yield
    finally:
        with suppress(ChannelRefused, ConnectionLost):
            await connection.cancel(reader)
