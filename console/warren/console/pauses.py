"""Reading and saying from the command line which queues are paused."""

import asyncio
import time
from contextlib import suppress

from warren.amqp.seam import AmqpError, ChannelRefused, Connection, ConnectionLost, Delivery, Settle, StreamStart
from warren.asking import publish_until_taken
from warren.control import NotUnderstood, PauseQueue, ResumeQueue, command_message, command_of, mark_message
from warren.errors import BrokerUnavailable
from warren.pauses import Pauses
from warren.settings import Settings
from warren.topology import MARK, Names

_PREFETCH = 500


async def read_pauses(connection: Connection, settings: Settings) -> Pauses:
    """Return what was said of queues, from the stream in which it is kept.

    Raises:
        ChannelRefused: there is no such stream, or no right to read it and to mark its end.
        BrokerUnavailable: it could not be read in time.
    """
    names, pauses, done = Names(settings.namespace), Pauses(), asyncio.Event()
    mark, key = mark_message(time.time())

    def take(delivery: Delivery) -> None:
        connection.settle(delivery, Settle.ACK)
        message = delivery.message
        if message.message_id == mark.message_id:
            done.set()
        elif message.type != MARK:
            with suppress(NotUnderstood):
                command = command_of(message)
                if isinstance(command, PauseQueue | ResumeQueue):
                    pauses.hear(command)

    reader = await connection.consume(names.control, take, prefetch=_PREFETCH, offset=StreamStart.FIRST)
    try:
        async with asyncio.timeout(settings.publish_timeout):
            # A stream does not say where it ends.
            await publish_until_taken(connection, mark, names.control, key)
            await _unless_lost(connection, done)
    except TimeoutError as error:
        raise BrokerUnavailable(
            f"what is paused could not be read within {settings.publish_timeout:g} s: the broker takes no messages, or is slow"
        ) from error
    finally:
        with suppress(AmqpError):
            await connection.cancel(reader)
    return pauses


async def paused_names(connection: Connection, settings: Settings) -> frozenset[str] | None:
    """Return the names of the queues that are paused; None where that is not to be known here. The connection may be lost by it."""
    try:
        return frozenset(pause.queue for pause in await read_pauses(connection, settings))
    except ChannelRefused as refused:
        return None if refused.permanent else frozenset()  # no stream, no pause
    except (AmqpError, BrokerUnavailable):
        return None


async def say(connection: Connection, settings: Settings, queue: str, *, paused: bool) -> bool:
    """Pause or resume a queue, durably; whether that is news.

    Raises:
        ChannelRefused: there is no control exchange, or no right to it.
        BrokerUnavailable: not in time.
    """
    pauses, now = await read_pauses(connection, settings), time.time()
    if (queue in pauses) == paused:
        return False
    kind = PauseQueue if paused else ResumeQueue
    message, key = command_message(kind(queue, pauses.after(queue, now)), now)
    try:
        async with asyncio.timeout(settings.publish_timeout):
            await publish_until_taken(connection, message, Names(settings.namespace).control, key)
    except TimeoutError as error:
        raise BrokerUnavailable(f"the broker did not confirm within {settings.publish_timeout:g} s") from error
    return True


async def _unless_lost(connection: Connection, done: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(done.wait())
    try:
        await asyncio.wait([waiting, connection.lost], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
    finally:
        waiting.cancel()
    if not done.is_set():
        raise ConnectionLost(connection.lost.result())
