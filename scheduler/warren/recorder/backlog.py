"""The stream that a recorder reads: bounded, so that a recorder that is down for long costs history and nothing else."""

from collections.abc import Iterator

from warren.amqp.seam import ChannelRefused, Connection
from warren.topology import Binding, Item, Names, Queue

DEFAULT_BYTES = 2_000_000_000
_SEGMENTS = 40
"""The broker drops the oldest by whole segments."""
_OTHERWISE = 406
"""How a broker refuses to declare what is there with other arguments."""
_LEAST_SEGMENT, _MOST_SEGMENT = 1_000_000, 50_000_000


def backlog(names: Names, limit: int) -> Iterator[Item]:
    """Return the stream with room for so many bytes, and what it is bound to; all of that is there."""
    stream = names.history.stream
    segment = min(max(limit // _SEGMENTS, _LEAST_SEGMENT), _MOST_SEGMENT)
    arguments: dict[str, str | int] = {
        "x-queue-type": "stream",
        "x-max-length-bytes": limit,
        "x-stream-max-segment-size-bytes": segment,
    }
    yield Queue(stream, arguments)
    yield Binding(names.history.copies, stream, "")
    yield Binding(names.results, stream, "#")
    yield Binding(names.history.events, stream, "#")


async def is_as_large(connection: Connection, stream: Queue) -> bool:
    """Whether a stream that is there is as it would be made; only declaring it tells.

    Raises:
        AmqpError: not now, or no right to declare it.
    """
    try:
        await connection.declare(stream)
    except ChannelRefused as refused:
        if refused.code != _OTHERWISE:
            raise
        return False
    return True
