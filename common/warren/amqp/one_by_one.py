"""Publishing messages together on a connection that only knows single ones."""

import asyncio
from collections.abc import Sequence
from functools import partial

from warren.amqp.seam import AmqpError, Connection, ConnectionLost, Copy, Letter, SomeFailed


def publish_one_by_one(
    connection: Connection, letters: Sequence[Letter], exchange: str, routing_key: str
) -> "asyncio.Future[None]":
    """Send mandatory messages; the future is as that of `warren.amqp.seam.Together`."""
    singles = [
        connection.publish(letter.message() if isinstance(letter, Copy) else letter, exchange, routing_key)
        for letter in letters
    ]
    if len(singles) == 1:
        return singles[0]
    together: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    errors: dict[int, AmqpError] = {}
    left = set(range(len(singles)))

    def answered(place: int, single: "asyncio.Future[None]") -> None:
        left.discard(place)
        error = ConnectionLost("given up") if single.cancelled() else single.exception()
        if isinstance(error, AmqpError):
            errors[place] = error
        if left or together.done():
            return
        if errors:
            together.set_exception(SomeFailed(errors))
        else:
            together.set_result(None)

    for place, single in enumerate(singles):
        single.add_done_callback(partial(answered, place))
    return together
