"""How a stream's starting point is said in a consumer's arguments (rabbitmq.com/docs/streams#consuming)."""

from datetime import UTC, datetime

from warren.amqp.seam import OFFSET, StreamAt, StreamFrom, StreamOffset


def offset_argument(offset: StreamOffset | None) -> dict[str, object] | None:
    """Return the consume arguments for an offset, or None for a queue that is no stream."""
    if offset is None:
        return None
    if isinstance(offset, StreamFrom):
        return {OFFSET: datetime.fromtimestamp(offset.timestamp, UTC)}
    return {OFFSET: offset.offset if isinstance(offset, StreamAt) else offset.value}
