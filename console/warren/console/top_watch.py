"""What `warren top` shows, kept up to date: the workers from the stream of their statuses, the queues by asking every two seconds."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from warren.amqp.engines import without_password
from warren.amqp.seam import ChannelRefused, Connection, ConnectionLost
from warren.console.broker import BrokerRefused, connected
from warren.console.failing import NotFound
from warren.console.fleet import Fleet
from warren.console.fleet_reading import following
from warren.console.fleet_reading import survey as survey_workers
from warren.console.management import ManagementUnavailable
from warren.console.queue_survey import Survey, depths
from warren.console.queue_survey import survey as survey_queues
from warren.console.top_page import View
from warren.errors import BrokerUnavailable
from warren.settings import Settings
from warren.topology import Names

T = TypeVar("T")

KEEP_SECONDS = 60.0
"""So long after its last word is a worker shown."""
_POLL_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_MISSING = 404


class Watch:
    """Owns what is known of one namespace."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = Names(settings.namespace)
        self._fleet = Fleet(KEEP_SECONDS)
        self._queues: Survey | None = None
        self._notes: dict[str, str] = {}
        self._connection: Connection | None = None

    def view(self) -> View:
        """Return what is known now."""
        now, settings = time.time(), self._settings
        broker = without_password(settings.urls[0])
        notes = tuple(note for note in self._notes.values() if note)
        return View(settings.namespace, broker, now, tuple(self._fleet.members(now)), self._queues, notes)

    async def once(self) -> View:
        """Look once and return what there is.

        Raises:
            BrokerUnavailable, BrokerBlocked, BrokerRefused: there is no answer.
        """
        async with connected(self._settings) as self._connection:
            timeout = self._settings.publish_timeout
            self._fleet = await survey_workers(self._connection, self._names, KEEP_SECONDS, timeout)
            await self._look_at_queues()
        return self.view()

    async def follow(self) -> None:
        """Hear what workers say, through any number of reconnects."""
        while True:
            try:
                async with connected(self._settings) as connection:
                    await self._hear(connection)
            except BrokerUnavailable as error:
                self._notes["broker"] = f"trying again: {error}"
            except BrokerRefused as error:
                self._notes["broker"] = str(error)
            finally:
                self._connection = None
            await asyncio.sleep(_AGAIN_SECONDS)

    async def poll(self) -> None:
        """Ask for the queues, again and again."""
        while True:
            await self._look_at_queues()
            await asyncio.sleep(_POLL_SECONDS)

    async def _hear(self, connection: Connection) -> None:
        self._connection = connection
        self._notes.pop("broker", None)
        while not connection.lost.done():
            try:
                async with following(connection, self._names, KEEP_SECONDS, self._fleet.hear):
                    await asyncio.wait([connection.lost])
            except ChannelRefused as error:
                if error.code != _MISSING:
                    raise
                # No worker has been here yet, so there is no stream.
                await asyncio.wait([connection.lost], timeout=_AGAIN_SECONDS)
        raise ConnectionLost(connection.lost.result())

    async def _look_at_queues(self) -> None:
        try:
            self._queues = await _in_thread(lambda: survey_queues(self._settings))
            self._notes.pop("queues", None)
        except NotFound:
            self._queues = Survey(())
            self._notes["queues"] = "there is nothing of this namespace on the broker yet"
        except ManagementUnavailable as error:
            await self._look_by_amqp(str(error))

    async def _look_by_amqp(self, why: str) -> None:
        """The queues that workers serve, as far as AMQP tells of them."""
        self._notes["queues"] = f"only ready jobs and consumers are told, of queues that workers serve: {why}"
        if self._connection is None:
            return
        names, now = self._names, time.time()
        served = sorted({queue for member in self._fleet.members(now) for queue in member.status.queues})
        with suppress(ConnectionLost, ChannelRefused):  # the first is told elsewhere
            dead = await self._connection.depth(names.dead)
            lines = await depths(self._connection, names, served)
            self._queues = Survey(lines, dead=dead.ready if dead is not None else None)


async def _in_thread(call: Callable[[], T]) -> T:
    """Run a call that blocks; when the command ends meanwhile, nothing waits for it, as it would for an executor's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(tell: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if done.done() else tell())

    def run() -> None:
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            tell(lambda error=error: done.set_exception(error))  # type: ignore[misc]
        else:
            tell(lambda: done.set_result(answer))

    threading.Thread(target=run, daemon=True, name="warren-top").start()
    return await done
