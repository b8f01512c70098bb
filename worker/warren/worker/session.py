"""One life of a worker's consuming connection, built from declared state: at the first start and after every loss alike."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial

from warren.amqp.seam import AmqpError, Connection, Delivery, Settle, Subscription
from warren.settings import Settings
from warren.topology import Names
from warren.worker.outlet import Outlet, connect

OnDelivery = Callable[["Session", int, Delivery], None]


class Session:
    """Consumes from a worker's queues until its connection is lost."""

    def __init__(self, names: Names, inbound: Connection) -> None:
        self.names = names
        self._inbound = inbound
        self.lanes: set[int] = set()
        """Open, being opened, or being closed."""
        self.closing: set[int] = set()
        self._consumers: dict[int, Subscription] = {}
        self._opening = asyncio.Lock()

    @classmethod
    async def open(cls, settings: Settings, name: str, outlet: Outlet) -> "Session":
        """Have what is needed declared, and connect.

        Raises:
            ConnectFailed, ConnectionLost: not now.
            TopologyMismatch: what the broker has does not fit.
        """
        await outlet.open(declare=True)
        return cls(Names(settings.namespace), await connect(settings, f"{name} consuming"))

    @property
    def inbound(self) -> Connection:
        """The connection, for what a worker consumes beside its lanes."""
        return self._inbound

    @property
    def alive(self) -> bool:
        return not self._inbound.lost.done()

    @property
    def lost(self) -> asyncio.Future[str]:
        """Resolved with the reason when it ends."""
        return self._inbound.lost

    async def open_lanes(self, lanes: Mapping[int, str], on_delivery: OnDelivery) -> None:
        """Open consumers with prefetch 1, by number from these queues, unless this session has them already."""
        new = {lane: queue for lane, queue in lanes.items() if lane not in self.lanes}
        self.lanes.update(new)
        try:
            async with self._opening:
                for lane, queue in new.items():
                    if self.alive:
                        self._consumers[lane] = await self._inbound.consume(
                            self.names.queue(queue), partial(on_delivery, self, lane), prefetch=1
                        )
        finally:
            unopened = new.keys() - self._consumers.keys()
            self.lanes.difference_update(unopened)
            self.closing.difference_update(unopened)

    async def close_lanes(self, lanes: Collection[int]) -> None:
        """Take no more deliveries by these; what came by them can still be settled."""
        self.closing.update(self.lanes.intersection(lanes))
        async with self._opening:
            # What somebody else has closed meanwhile may be about to be opened again: that is not ours to close.
            consumers = {lane: self._consumers.pop(lane) for lane in lanes if lane in self._consumers}
            with suppress(AmqpError):
                await asyncio.gather(*map(self._inbound.cancel, consumers.values()))
            self.lanes.difference_update(consumers)
            self.closing.difference_update(consumers)

    async def get(self, queue: str) -> Delivery | None:
        """Ask a queue for its next job; None when it has none.

        Raises:
            AmqpError: the session is lost by it.
        """
        return await self._inbound.get(self.names.queue(queue))

    async def consume(self, queue: str, on_delivery: Callable[[Delivery], None]) -> Subscription:
        """Open a consumer with prefetch 1 that is not a lane.

        Raises:
            AmqpError: it is refused, or the session is lost.
        """
        return await self._inbound.consume(self.names.queue(queue), on_delivery, prefetch=1)

    async def cancel(self, subscription: Subscription) -> None:
        """Close such a consumer; what came by it can still be settled."""
        await self._inbound.cancel(subscription)

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        """Settle a delivery of this session; False when it is stale."""
        return self.alive and self._inbound.settle(delivery, how)

    async def close(self) -> None:
        """Close the connection; what is not settled goes back to its queue."""
        await self._inbound.close()
