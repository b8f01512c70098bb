"""One life of a worker's consuming connection, built from declared state: at the first start and after every loss alike."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
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
        self.lanes: dict[int, int] = {}
        """Open, being opened, or being closed; and how many jobs may come by each."""
        self.closing: set[int] = set()
        self._width = 0
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

    @property
    def width(self) -> int:
        """How many jobs may come by all lanes together."""
        return self._width

    def open_lanes(self, queue: str, widths: Mapping[int, int], on_delivery: OnDelivery) -> Coroutine[None, None, None]:
        """Open consumers of a queue, each with its number, which no other has or had, and with this prefetch.

        They are counted at once, and open when what is returned has been awaited; but for those that are to be closed by then.
        """
        self.lanes.update(widths)
        self._width += sum(widths.values())
        return self._consume(self.names.queue(queue), widths, on_delivery)

    async def _consume(self, queue: str, widths: Mapping[int, int], on_delivery: OnDelivery) -> None:
        try:
            async with self._opening:
                for lane, width in widths.items():
                    if self.alive and lane not in self.closing:
                        self._consumers[lane] = await self._inbound.consume(
                            queue, partial(on_delivery, self, lane), prefetch=width
                        )
        finally:
            self._forget(widths.keys() - self._consumers.keys())

    async def close_lanes(self, lanes: Collection[int]) -> None:
        """Take no more deliveries by these; what came by them can still be settled."""
        self.closing.update(self.lanes.keys() & lanes)
        async with self._opening:
            # Somebody else may have closed some meanwhile, and what is not open yet sees that it is not to be.
            consumers = {lane: self._consumers.pop(lane) for lane in lanes if lane in self._consumers}
            with suppress(AmqpError):
                await asyncio.gather(*map(self._inbound.cancel, consumers.values()))
            self._forget(consumers)

    def _forget(self, lanes: Iterable[int]) -> None:
        for lane in lanes:
            self._width -= self.lanes.pop(lane)
            self.closing.discard(lane)

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
