"""A worker's status, published every few seconds and when it changes. Nothing waits for it, and no job is touched for it."""

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from warren.amqp.seam import ChannelRefused, Connection
from warren.clock import Clock
from warren.events import Events, StatusRefused
from warren.metrics import Metrics, package_version
from warren.status import INTERVAL_SECONDS, ProcessStatus, WorkerState, WorkerStatus, bounded, to_message
from warren.topology import Exchange
from warren.worker.look import resident_bytes
from warren.worker.outlet import CANNOT_PUBLISH, Outlet

_OPEN_SECONDS = 10.0
_LAST_WORDS_SECONDS = 1.0


class Slots(Protocol):
    """What is asked of a pool."""

    @property
    def size(self) -> int: ...
    @property
    def coroutines(self) -> int: ...
    def status(self, at: float) -> tuple[ProcessStatus, ...]: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """The worker that is told of."""

    name: str
    queues: tuple[str, ...]
    pool: Slots
    metrics: Metrics


class Report:
    """Publishes how a worker is, by its publishing connection.

    Args:
        subject: the worker.
        outlet: whose connection is used.
        exchange: to which it is published.
        events: hears when the broker does not take it.
    """

    def __init__(self, subject: Subject, outlet: Outlet, exchange: Exchange, events: Events, clock: Clock) -> None:
        self._subject = subject
        self._outlet = outlet
        self._exchange = exchange
        self._events = events
        self._clock = clock
        self._started_at = clock()
        self._state = WorkerState.STARTING
        self._changed = asyncio.Event()
        self._known: Connection | None = None
        """The connection on which the exchange was found."""
        self._denied = False
        self._complained = False

    def becomes(self, state: WorkerState) -> None:
        """Have it told soon that the worker is in this state now."""
        self._state = state
        self._changed.set()

    async def run(self) -> None:
        """Tell how it is, until cancelled."""
        while True:
            self._changed.clear()
            await self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._changed.wait()

    async def end(self) -> None:
        """Tell that it has stopped, if it can still be told."""
        self._state = WorkerState.STOPPED
        if self._known is None or self._known.lost.done():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                confirm = await self._tell()
                if confirm is not None:
                    await asyncio.wait([confirm])

    def status(self) -> WorkerStatus:
        """Return how the worker is now."""
        at, pid = self._clock(), os.getpid()
        return WorkerStatus(
            name=self._subject.name,
            host=socket.gethostname(),
            pid=pid,
            version=package_version(),
            started_at=round(self._started_at, 3),
            at=round(at, 3),
            interval=INTERVAL_SECONDS,
            state=self._state,
            queues=self._subject.queues,
            processes=self._subject.pool.size,
            coroutines=self._subject.pool.coroutines,
            slots=bounded(self._subject.pool.status(at)),
            ended=self._subject.metrics.ended(),
            reconnects=self._subject.metrics.reconnects(),
            rss=resident_bytes(pid),
        )

    async def _tell(self) -> asyncio.Future[None] | None:
        """Publish once; returns its confirm if it was written. Nothing is raised: the next one follows anyway."""
        if self._denied:
            return None
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                connection = await self._outlet.open()
                if not await self._found(connection) or connection.blocked:
                    return None  # what waits for the end of an alarm would be old then
        except CANNOT_PUBLISH:
            return None
        confirm = connection.publish(to_message(self.status()), self._exchange.name, "", mandatory=False)
        confirm.add_done_callback(self._told)
        return confirm

    async def _found(self, connection: Connection) -> bool:
        """Whether the exchange is there: a publish without it would end the connection that the jobs' outcomes use."""
        if connection is self._known:
            return True
        try:
            there = await connection.exists(self._exchange)
        except ChannelRefused as error:
            self._refused(error)
            return False
        if there:
            self._known = connection
        else:
            self._complain(f"there is no exchange {self._exchange.name!r}: `warren topology apply` makes it")
        return there

    def _told(self, confirm: "asyncio.Future[None]") -> None:
        error = None if confirm.cancelled() else confirm.exception()
        # A refused publish ends all others of its connection with the same words: they must be about ours.
        if isinstance(error, ChannelRefused) and f"'{self._exchange.name}'" in error.text:
            self._refused(error)

    def _refused(self, error: ChannelRefused) -> None:
        """Not try again what cannot succeed: every refusal costs a connection."""
        self._denied = error.permanent
        self._complain(str(error))

    def _complain(self, error: str) -> None:
        if not self._complained:
            self._complained = True
            self._events.emit(StatusRefused(error))
