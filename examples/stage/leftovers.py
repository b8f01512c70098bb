"""Looking into every queue of a namespace, by plain AMQP, and removing them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.exceptions import ChannelClosedByBroker

from warren.settings import Settings
from warren.topology import Exchange, Names, Queue, everything

_NOT_FOUND = 404


def messages_left(settings: Settings) -> dict[str, int]:
    """Return how many messages each queue holds, where it is not none: work, every delay level, dead letters.

    Ask when the workers have stopped: a message that was not acked is ready again then, so none can hide.
    Streams are no queues of work; they keep what was said for a time, by design.
    """
    declared = (item for item in _plan(settings) if isinstance(item, Queue))
    queues = [queue.name for queue in declared if queue.arguments.get("x-queue-type") != "stream"]
    with _connection(settings) as connection:
        counts = {name: _count(connection, name) for name in queues}
    return {name: count for name, count in counts.items() if count}


def remove(settings: Settings) -> None:
    """Delete every queue and exchange of the namespace."""
    with _connection(settings) as connection:
        channel = connection.channel()
        for item in _plan(settings):
            if isinstance(item, Queue):
                channel.queue_delete(item.name)
            elif isinstance(item, Exchange):
                channel.exchange_delete(item.name)


def _count(connection: pika.BlockingConnection, queue: str) -> int:
    """How many messages a queue holds; one that nobody has declared, as nobody needed it, holds none."""
    channel = connection.channel()
    try:
        count = int(channel.queue_declare(queue, passive=True).method.message_count)
    except ChannelClosedByBroker as closed:  # with the channel, so each queue gets one of its own
        if closed.reply_code != _NOT_FOUND:
            raise
        return 0
    channel.close()
    return count


def _plan(settings: Settings) -> tuple[object, ...]:
    return everything(Names(settings.namespace), settings.queues)


@contextmanager
def _connection(settings: Settings) -> Iterator[pika.BlockingConnection]:
    connection = pika.BlockingConnection(pika.URLParameters(settings.urls[0]))
    try:
        yield connection
    finally:
        connection.close()
