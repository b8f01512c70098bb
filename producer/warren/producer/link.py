"""A producer's connection: opened when needed, rebuilt when lost. Lives on one event loop."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from warren import topology
from warren.amqp.engines import connect_any
from warren.amqp.one_by_one import give_up, publish_one_by_one
from warren.amqp.seam import (
    AmqpError,
    ChannelRefused,
    ConnectFailed,
    Connection,
    ConnectionLost,
    Letter,
    PublishesTogether,
    Together,
)
from warren.errors import BrokerUnavailable, TopologyMismatch, WrongUse
from warren.settings import Settings
from warren.topology import Item, Names

T = TypeVar("T")


class TryAgain(Exception):
    """Something passing stood in the way; whoever has a deadline tries again until it is over."""


@dataclass(slots=True, eq=False)
class Session:
    """A connection and what holds for it only: what was declared on it."""

    connection: Connection
    declared: set[str] = field(default_factory=set)
    together: Together | None = field(init=False)

    def __post_init__(self) -> None:
        self.together = self.connection.together if isinstance(self.connection, PublishesTogether) else None

    @property
    def alive(self) -> bool:
        return not self.connection.lost.done()

    def publish(self, letters: Sequence[Letter], exchange: str, routing_key: str) -> "asyncio.Future[None]":
        """Send mandatory messages; the future is as of `Together`."""
        if self.together is not None:
            return self.together.publish(letters, exchange, routing_key)
        return publish_one_by_one(self.connection, letters, exchange, routing_key)

    def give_up(self, future: "asyncio.Future[None]") -> AmqpError:
        """Return what is known of what such a future is for; as of `Together`."""
        return self.together.give_up(future) if self.together is not None else give_up(future)


Prepare = Callable[[Session], Awaitable[None]]


class Link:
    """Keeps one session open for a producer; `prepare` is run on every new one before anything else uses it."""

    def __init__(self, settings: Settings, engine: str, prepare: Prepare) -> None:
        self.settings = settings
        self.names = Names(settings.namespace)
        self.session: Session | None = None
        self.last_failure: Exception | None = None
        self._engine = settings.engine or engine
        self._prepare = prepare
        self._opening = asyncio.Lock()
        self._closed = False

    async def open(self) -> Session:
        """Return the living session, or build a new one from nothing.

        Raises:
            TryAgain: not now.
            BrokerUnavailable: refused for good.
        """
        async with self._opening:
            if self._closed:
                raise WrongUse("this producer is closed")
            if self.session is None or not self.session.alive:
                await self._drop()
                self.session = await self._connect()
                self.last_failure = None
            return self.session

    async def reach(self) -> Session:
        """Return the living session, trying until the publish deadline.

        Raises:
            BrokerUnavailable: no broker in time, or refused for good.
        """
        try:
            async with asyncio.timeout(self.settings.publish_timeout):
                return await persistently(self.open)
        except TimeoutError:
            why = f": {self.last_failure}" if self.last_failure else ""
            raise BrokerUnavailable(
                f"no broker could be reached within {self.settings.publish_timeout:g} s{why}"
            ) from self.last_failure

    async def declare(self, session: Session, what: str, *items: Item) -> None:
        """Declare something once per session, where this producer may declare at all.

        Raises:
            TopologyMismatch: the broker will not have it.
        """
        if what in session.declared:
            return
        if self.settings.declare:
            try:
                await session.connection.declare(*items)
            except ChannelRefused as error:
                if not error.permanent:
                    self.last_failure = error
                    raise TryAgain from error
                raise TopologyMismatch(
                    f"the broker will not let this producer declare its {what}: {error.text}; `warren topology check` explains, "
                    "or have an administrator run `warren topology apply` and set declare = false here; nothing was enqueued"
                ) from error
        session.declared.add(what)

    async def close(self) -> None:
        """Close the connection; nothing can be sent any more."""
        self._closed = True
        await self._drop()

    async def _drop(self) -> None:
        """Close what is left of a session: one that is lost can still have its socket."""
        session, self.session = self.session, None
        if session is not None:
            await session.connection.close()

    async def _connect(self) -> Session:
        settings = self.settings
        try:
            connection = await connect_any(
                settings.urls,
                self._engine,
                name=f"warren producer {socket.gethostname()}:{os.getpid()}",
                heartbeat=settings.heartbeat,
                timeout=settings.connect_timeout,
            )
        except ConnectFailed as error:
            self.last_failure = error
            if error.permanent:
                raise BrokerUnavailable(f"the broker refuses us: {error}") from error
            raise TryAgain from error
        session = Session(connection)
        try:
            await self.declare(session, "exchanges", *topology.base(self.names))
            await self._prepare(session)
        except ConnectionLost as error:
            self.last_failure = error
            raise TryAgain from error
        except BaseException:
            await connection.close()
            raise
        return session


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until it does not ask to be tried again, with growing, jittered waits; the caller sets the deadline."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(TryAgain), wait=wait_random_exponential(multiplier=0.05, max=1), reraise=True
    )
    async for attempt in retrying:
        with attempt:
            return await call()
    raise AssertionError("tenacity gives up only when told to")
