"""What aio-pika's calls take and give, in the seam's values."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import aio_pika
import aiormq.abc
import aiormq.exceptions

from warren.amqp.seam import ChannelRefused, ConnectionLost, Delivery, Message, Nacked, Returned
from warren.topology import Binding, Exchange, Queue

_CODES: dict[type[BaseException], int] = {
    aiormq.exceptions.ChannelAccessRefused: 403,
    aiormq.exceptions.ChannelNotFoundEntity: 404,
    aiormq.exceptions.ChannelLockedResource: 405,
    aiormq.exceptions.ChannelPreconditionFailed: 406,
}


def declaration(channel: aiormq.abc.AbstractChannel, item: Exchange | Queue | Binding) -> Coroutine[Any, Any, object]:
    """Return the call that declares an item."""
    if isinstance(item, Exchange):
        arguments = dict[str, Any](item.arguments)
        return channel.exchange_declare(
            item.name, exchange_type=item.kind, durable=True, auto_delete=item.auto_delete, arguments=arguments
        )
    if isinstance(item, Queue):
        return channel.queue_declare(
            item.name,
            durable=not item.exclusive,
            exclusive=item.exclusive,
            arguments=dict[str, Any](item.arguments),
        )
    bind = channel.exchange_bind if item.to_exchange else channel.queue_bind
    return bind(item.target, item.source, routing_key=item.key, arguments=dict[str, Any](item.arguments))


def translated(error: Exception) -> Exception:
    """Return what an error of the library's means; unchanged when it is none."""
    if isinstance(error, aiormq.exceptions.PublishError):
        return Returned(str(error))
    if isinstance(error, aiormq.exceptions.DeliveryError):
        return Nacked(str(error))
    if isinstance(error, aiormq.exceptions.ChannelClosed):
        return ChannelRefused(_CODES.get(type(error), 0), str(error))
    lost = aiormq.exceptions.AMQPError | aiormq.exceptions.ChannelInvalidStateError | OSError | RuntimeError
    if isinstance(error, lost) or type(error) is Exception:  # aiormq has a bare one for "rejected without a reason"
        return ConnectionLost(str(error) or type(error).__name__)
    return error


def message_properties(message: Message) -> aiormq.spec.Basic.Properties:
    """Return the AMQP properties of a message."""
    # Not by aio_pika.Message, which turns a priority that is not set into 0: on RabbitMQ 4.3 that is below the unset 4.
    return aiormq.spec.Basic.Properties(
        content_type=message.content_type,
        headers=dict[str, Any](message.headers) or None,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=None if message.expiration is None else str(message.expiration),
        message_id=message.message_id,
        timestamp=None if message.timestamp is None else datetime.fromtimestamp(message.timestamp, UTC),
        message_type=message.type,
        app_id=message.app_id,
    )


def delivery_got(message: aiormq.abc.DeliveredMessage, queue: str, channel: object) -> Delivery | None:
    """Return what a queue answered that was asked for a message."""
    if isinstance(message.delivery, aiormq.spec.Basic.GetEmpty):
        return None
    return delivery_of(message, queue, channel)


def delivery_of(message: aiormq.abc.DeliveredMessage, queue: str, channel: object) -> Delivery:
    """Return a delivery in the seam's form."""
    properties, how = message.header.properties, message.delivery
    assert isinstance(how, aiormq.spec.Basic.Deliver | aiormq.spec.Basic.GetOk)
    expiration = properties.expiration
    timestamp = properties.timestamp
    return Delivery(
        Message(
            body=message.body,
            message_id=properties.message_id,
            type=properties.message_type,
            content_type=properties.content_type,
            priority=properties.priority,
            timestamp=None if timestamp is None else int(timestamp.timestamp()),
            expiration=int(expiration) if expiration and expiration.isdigit() else None,
            reply_to=properties.reply_to,
            correlation_id=properties.correlation_id,
            app_id=properties.app_id,
            headers=dict[str, object](properties.headers or {}),
        ),
        queue,
        how.exchange or "",
        how.routing_key or "",
        bool(how.redelivered),
        how.delivery_tag or 0,
        channel,
    )
