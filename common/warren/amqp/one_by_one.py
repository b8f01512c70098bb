"""Publishing messages together on a connection that only knows single ones."""

import asyncio
from collections.abc import Sequence
from functools import partial

from warren.amqp.seam import AmqpError, Connection, ConnectionLost, Copy, Late, Letter, SomeFailed


class _Several(asyncio.Future[None]):
    """Done when several publishes are answered; cancelled with them."""

    def __init__(self, singles: "Sequence[asyncio.Future[None]]") -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.errors: dict[int, AmqpError] = {}
        self.left = set(range(len(singles)))
        for place, single in enumerate(singles):
            single.add_done_callback(partial(self._answered, place))
        self.add_done_callback(lambda _: [single.cancel() for single in singles])

    def _answered(self, place: int, single: "asyncio.Future[None]") -> None:
        error = ConnectionLost("given up") if single.cancelled() else single.exception()
        if self.done():
            return
        self.left.discard(place)
        if error is not None:
            self.errors[place] = error if isinstance(error, AmqpError) else ConnectionLost(f"{error!r}")
        if self.left:
            return
        if self.errors:
            self.set_exception(SomeFailed(self.errors))
        else:
            self.set_result(None)


def publish_one_by_one(
    connection: Connection, letters: Sequence[Letter], exchange: str, routing_key: str
) -> "asyncio.Future[None]":
    """Send mandatory messages; the future is as that of `warren.amqp.seam.Together`."""
    singles = [
        connection.publish(letter.message() if isinstance(letter, Copy) else letter, exchange, routing_key)
        for letter in letters
    ]
    return singles[0] if len(singles) == 1 else _Several(singles)


def give_up(future: "asyncio.Future[None]") -> AmqpError:
    """Return what is known of what was published one by one: `Late` of what is not answered."""
    if not isinstance(future, _Several):
        return Late()
    return SomeFailed({**future.errors, **dict.fromkeys(future.left, Late())})
