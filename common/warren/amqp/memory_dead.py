"""What a dead-lettered message carries: RabbitMQ's record of its deaths (rabbitmq.com/docs/dlx#effects)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from warren.amqp.memory_queues import Stored
from warren.amqp.seam import Message
from warren.topology import Queue


def dead_message(stored: Stored, queue: Queue, reason: str, now: float) -> Message:
    """Return the message as it goes to the dead-letter exchange: its death noted, its expiration taken off."""
    message = stored.message
    headers = dict(message.headers)
    headers["x-death"] = _deaths(stored, queue.name, reason, now)
    for name, value in (("reason", reason), ("queue", queue.name), ("exchange", stored.exchange)):
        headers.setdefault(f"x-first-death-{name}", value)
        headers[f"x-last-death-{name}"] = value
    if stored.failures:
        headers["x-delivery-count"] = stored.failures
    return replace(message, expiration=None, headers=headers)


def _deaths(stored: Stored, queue: str, reason: str, now: float) -> list[Mapping[str, object]]:
    """One entry for each pair of queue and reason, the latest first."""
    before = stored.message.headers.get("x-death")
    earlier = [death for death in before if isinstance(death, Mapping)] if isinstance(before, list) else []
    same = [death for death in earlier if (death.get("queue"), death.get("reason")) == (queue, reason)]
    death = {
        "queue": queue,
        "reason": reason,
        "count": 1 + sum(int(known["count"]) for known in same),
        "exchange": stored.exchange,
        "routing-keys": [stored.routing_key],
        "time": datetime.fromtimestamp(int(now), UTC),
    }
    if stored.message.expiration is not None:
        death["original-expiration"] = str(stored.message.expiration)
    return [death, *(known for known in earlier if known not in same)]
