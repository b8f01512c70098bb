"""Being the one of its kind that works: whoever has the exclusive queue `<namespace>.<kind>.leader` on the broker.

The queue lives with its connection, which is used for nothing else and has a short heartbeat: the broker gives the lock
away at once when the leader dies, and after a few seconds when it hangs. Until a hanging leader finds out, there are two;
whatever is done under this lock must therefore be idempotent.
"""

import asyncio

from warren.amqp.engines import connect_any
from warren.amqp.seam import ChannelRefused, Connection, ConnectionLost
from warren.events import Events, Leading, StandingBy
from warren.settings import Settings
from warren.topology import Queue

HEARTBEAT_SECONDS = 2
_POLL_SECONDS = 0.5
_LOCKED = 405


class Leadership:
    """Takes the lock of one kind of daemon.

    Args:
        kind: of daemon.
        name: this one's.
        settings: where the broker is.
        events: hears whether this one leads.
    """

    def __init__(self, kind: str, name: str, settings: Settings, events: Events) -> None:
        self._kind, self._name = kind, name
        self._settings = settings
        self._events = events
        self._queue = Queue(f"{settings.namespace}.{kind}.leader", exclusive=True)

    async def take(self) -> Connection:
        """Wait until this one leads; it does until the connection that this returns is lost or closed.

        Raises:
            ConnectFailed, ConnectionLost: not now.
            ChannelRefused: no right to the queue.
        """
        connection = await connect_any(
            self._settings.urls,
            self._settings.engine or "pika",
            name=f"warren {self._kind} {self._name} leading",
            heartbeat=HEARTBEAT_SECONDS,
            timeout=self._settings.connect_timeout,
        )
        try:
            await self._wait(connection)
        except BaseException:
            await connection.close()
            raise
        self._events.emit(Leading(self._kind, self._name))
        return connection

    async def _wait(self, connection: Connection) -> None:
        told = False
        while not await self._taken(connection):
            if not told:
                told = True
                self._events.emit(StandingBy(self._kind, self._name))
            await asyncio.wait([connection.lost], timeout=_POLL_SECONDS)
            if connection.lost.done():
                raise ConnectionLost(connection.lost.result())

    async def _taken(self, connection: Connection) -> bool:
        try:
            await connection.declare(self._queue)
        except ChannelRefused as refused:
            if refused.code != _LOCKED:
                raise
            return False
        return True
