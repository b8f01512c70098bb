"""Declaring on a broker, with a refusal told to people."""

from warren.amqp.seam import ChannelRefused, Connection
from warren.errors import TopologyMismatch
from warren.topology import Item


async def declare_each(connection: Connection, *items: Item, who: str) -> None:
    """Declare one after the other.

    Args:
        connection: on which.
        items: what; a binding after what it binds.
        who: is told not to be allowed, as `worker`.

    Raises:
        AmqpError: not now.
        TopologyMismatch: never: no right, or it is there with other arguments.
    """
    for item in items:
        try:
            await connection.declare(item)
        except ChannelRefused as error:
            if not error.permanent:
                raise
            raise TopologyMismatch(
                f"the broker will not let this {who} declare {getattr(item, 'name', 'a binding')!r}: {error.text}; "
                "`warren topology check` explains, or have an administrator run `warren topology apply` and set declare = false"
            ) from error
