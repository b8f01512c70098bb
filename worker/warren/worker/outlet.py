"""A worker's publishing connection: opened when needed, rebuilt when lost, and never the reason to give up a delivery.

It is apart from the consuming one: the broker processes no acks on a connection it has blocked, and a publish that the
broker refuses closes a channel, which must cost nobody else's job a redelivery.
"""

import asyncio
from contextlib import suppress

from warren import topology
from warren.amqp.engines import connect_any
from warren.amqp.seam import AmqpError, ChannelRefused, Connection, Returned
from warren.declaring import declare_each
from warren.errors import TopologyMismatch
from warren.settings import Settings
from warren.topology import Names
from warren.worker.plan import Publish

CANNOT_PUBLISH = (AmqpError, TopologyMismatch, TimeoutError)
_WHO = "worker"


class Outlet:
    """Declares and publishes for a worker, for its whole life."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._names = Names(settings.namespace)
        self._name = name
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._delays: asyncio.Task[None] | None = None
        self._complete = True
        """False when something turned out to be missing: then everything is declared, whatever the marker says."""

    async def open(self, *, declare: bool = False) -> Connection:
        """Return the living connection, or connect and declare.

        Args:
            declare: also on a living connection: for all we know, somebody has deleted something.

        Raises:
            ConnectFailed, ConnectionLost: not now.
            TopologyMismatch: what the broker has does not fit.
        """
        async with self._opening:
            connection = self._connection
            if connection is None or connection.lost.done():
                await self._drop()
                self._connection = connection = await connect(self._settings, f"{self._name} publishing")
                declare = True
            if declare and self._settings.declare:
                await self._declare(connection)
            return connection

    async def send(self, publish: Publish) -> asyncio.Future[None]:
        """Write a message; the future is done when it is confirmed, and fails as `Connection.publish` says.

        Raises:
            CANNOT_PUBLISH: it was not written.
        """
        async with asyncio.timeout(self._settings.publish_timeout):
            connection = await self.open()
            if publish.delayed and self._delays is not None:
                await asyncio.wait([self._delays])  # not awaited itself: its being cancelled would look like ours
        return connection.publish(publish.message, publish.exchange, publish.routing_key, mandatory=publish.mandatory)

    async def repair(self, error: BaseException) -> None:
        """After a publish that found no queue or exchange: declare everything anew before the next."""
        if isinstance(error, Returned | ChannelRefused):
            self._complete = False
            async with self._opening:
                await self._drop()

    async def close(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _drop(self) -> None:
        if self._delays is not None:
            self._delays.cancel()
            self._delays = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _declare(self, connection: Connection) -> None:
        queues = (item for queue in self._settings.queue_names for item in topology.work_queue(self._names, queue))
        await declare_each(connection, *topology.base(self._names), *topology.workers(self._names), *queues, who=_WHO)
        # The levels of the delay take a second to declare on a new broker, and the first job need not wait for them.
        if self._delays is None or self._delays.done():
            self._delays = asyncio.get_running_loop().create_task(self._declare_delays(connection))

    async def _declare_delays(self, connection: Connection) -> None:
        with suppress(AmqpError, TopologyMismatch):  # shows when they are used, and is tried again then
            if not self._complete or not await connection.exists(topology.delays_marker(self._names)):
                await declare_each(connection, *topology.delays(self._names), who=_WHO)
                self._complete = True


async def connect(settings: Settings, name: str) -> Connection:
    """Open one connection of a worker's."""
    return await connect_any(
        settings.urls,
        settings.engine or "pika",
        name=f"warren worker {name}",
        heartbeat=settings.heartbeat,
        timeout=settings.connect_timeout,
    )
