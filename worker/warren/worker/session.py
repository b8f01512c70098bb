"""One life of a worker's consuming connection, built from declared state: at the first start and after every loss alike."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

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
        self._lanes: dict[int, Subscription] = {}
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
    def alive(self) -> bool:
        return not self._inbound.lost.done()

    @property
    def lost(self) -> asyncio.Future[str]:
        """Resolved with the reason when it ends."""
        return self._inbound.lost

    async def open_lane(self, lane: int, queue: str, on_delivery: OnDelivery) -> None:
        """Open one consumer with prefetch 1, unless this session has it already."""
        async with self._opening:
            if lane not in self._lanes and self.alive:
                self._lanes[lane] = await self._inbound.consume(
                    self.names.queue(queue), lambda delivery: on_delivery(self, lane, delivery), prefetch=1
                )

    def has_lane(self, lane: int) -> bool:
        return lane in self._lanes

    async def quiet(self) -> None:
        """Take no more deliveries."""
        async with self._opening:
            cancelling = [self._inbound.cancel(subscription) for subscription in self._lanes.values()]
            with suppress(AmqpError):
                await asyncio.gather(*cancelling)

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        """Settle a delivery of this session; False when it is stale."""
        return self.alive and self._inbound.settle(delivery, how)

    async def close(self) -> None:
        """Close the connection; what is not settled goes back to its queue."""
        await self._inbound.close()
