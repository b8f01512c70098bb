"""Looking into every queue of a namespace, by plain AMQP, and removing them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel

from warren.settings import Settings
from warren.topology import Exchange, Names, Queue, everything


def messages_left(settings: Settings) -> dict[str, int]:
    """Return how many messages each queue holds, where it is not none: work, every delay level, dead letters.

    Ask when the workers have stopped: a message that was not acked is ready again then, so none can hide.
    Streams are no queues of work; they keep what was said for a time, by design.
    """
    declared = (item for item in _plan(settings) if isinstance(item, Queue))
    queues = [queue.name for queue in declared if queue.arguments.get("x-queue-type") != "stream"]
    with _channel(settings) as channel:
        counts = {name: int(channel.queue_declare(name, passive=True).method.message_count) for name in queues}
    return {name: count for name, count in counts.items() if count}


def remove(settings: Settings) -> None:
    """Delete every queue and exchange of the namespace."""
    with _channel(settings) as channel:
        for item in _plan(settings):
            if isinstance(item, Queue):
                channel.queue_delete(item.name)
            elif isinstance(item, Exchange):
                channel.exchange_delete(item.name)


def _plan(settings: Settings) -> tuple[object, ...]:
    return everything(Names(settings.namespace), settings.queues)


@contextmanager
def _channel(settings: Settings) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(settings.urls[0]))
    try:
        yield connection.channel()
    finally:
        connection.close()
