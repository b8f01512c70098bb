"""pika's values and errors to the seam's, and back."""

from collections.abc import Callable
from typing import Any

import pika.exceptions
from pika.channel import Channel

from warren.amqp.seam import AmqpError, ChannelRefused, ConnectFailed, ConnectionLost
from warren.topology import Binding, Exchange, Queue

_REFUSED_FOR_GOOD = frozenset({403, 530})
"""Wrong credentials; a vhost that is missing or not ours."""
ABSENT = frozenset({403, 404})
"""RabbitMQ 4.3 answers 403 to a passive look at a missing name when the user has no rights on it."""


def declaration(channel: Channel, item: Exchange | Queue | Binding) -> Callable[[Callable[[Any], None]], object]:
    if isinstance(item, Exchange):
        arguments = dict(item.arguments)
        return lambda done: channel.exchange_declare(
            item.name, item.kind, durable=True, auto_delete=item.auto_delete, arguments=arguments, callback=done
        )
    if isinstance(item, Queue):
        return lambda done: channel.queue_declare(
            item.name,
            durable=not item.exclusive,
            exclusive=item.exclusive,
            arguments=dict(item.arguments),
            callback=done,
        )
    bind = channel.exchange_bind if item.to_exchange else channel.queue_bind
    return lambda done: bind(item.target, item.source, item.key, arguments=item.arguments, callback=done)


def channel_error(reason: BaseException) -> AmqpError:
    if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
        return ChannelRefused(reason.reply_code, reason.reply_text)
    return ConnectionLost(str(reason) or type(reason).__name__)


def connect_failed(error: BaseException) -> ConnectFailed:
    causes = [error]
    for cause in causes:  # pika nests the reason in exceptions' arguments
        causes.extend(nested for nested in _nested(cause) if nested not in causes)
    for cause in causes:
        # Only the broker's own word: a connection that breaks in the handshake looks like bad credentials to pika, too.
        if isinstance(cause, pika.exceptions.ConnectionClosedByBroker) and cause.reply_code in _REFUSED_FOR_GOOD:
            return ConnectFailed(f"{cause.reply_code} {cause.reply_text}", permanent=True)
    return ConnectFailed(str(causes[-1]) or type(causes[-1]).__name__)


def _nested(error: BaseException) -> list[BaseException]:
    inner = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    return [item for item in inner if isinstance(item, BaseException)]
