"""A daemon's life on the broker, built again by the same way after every loss as at the first start."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from warren.amqp.engines import without_password
from warren.amqp.seam import AmqpError, ConnectFailed
from warren.errors import StartError, TopologyMismatch
from warren.events import BrokerConnected, BrokerLost, Events
from warren.health import Health

_SHORT_LIFE_SECONDS = 2.0


class Life(Protocol):
    """What is lost as a whole: a connection and all that was built on it."""

    @property
    def lost(self) -> asyncio.Future[str]: ...
    async def close(self) -> None: ...


L = TypeVar("L", bound=Life)


def _nothing(*_: object) -> None:
    pass


class Rebuilding(Generic[L]):
    """Builds one life, waits until it is lost, builds the next.

    Args:
        build: makes one: connects, declares, consumes; `AmqpError` and `TopologyMismatch` mean "not now", and it is tried again.
        urls: of the brokers, for telling.
        health: is ready while there is one.
        events: hears of connections and losses.
        on_built: called when one is there, with whether it is not the first.
        on_lost: called with what was lost, before that is closed, and why.
    """

    def __init__(
        self,
        build: Callable[[], Awaitable[L]],
        urls: tuple[str, ...],
        health: Health,
        events: Events,
        *,
        on_built: Callable[[L, bool], None] = _nothing,
        on_lost: Callable[[L, str], None] = _nothing,
    ) -> None:
        self._build = build
        self._broker = ", ".join(without_password(url) for url in urls)
        self._health = health
        self._events = events
        self._on_built, self._on_lost = on_built, on_lost

    async def run(self) -> None:
        """Stay connected, until cancelled; the life that is there then is its builder's to close.

        Raises:
            StartError: the first one can never be built.
        """
        again = False
        while True:
            life = await self._built(first=not again)
            self._health.not_ready = ""
            self._events.emit(BrokerConnected(self._broker, again))
            self._on_built(life, again)
            again, since = True, time.monotonic()
            reason = await asyncio.shield(life.lost)
            # One that did not live long will hardly do better at once.
            wait = 0.0 if time.monotonic() - since > _SHORT_LIFE_SECONDS else random.uniform(0.2, 1.0)  # noqa: S311 - jitter
            self._health.not_ready = f"not connected: {reason}"
            self._on_lost(life, reason)
            self._events.emit(BrokerLost(reason, round(wait, 3)))
            await life.close()
            await asyncio.sleep(wait)

    async def _built(self, *, first: bool) -> L:
        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._health.not_ready = f"not connected: {error}"
            self._events.emit(BrokerLost(str(error), round(state.upcoming_sleep, 3)))

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((AmqpError, TopologyMismatch)),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            before_sleep=tell,
        )
        async for attempt in retrying:
            with attempt:
                try:
                    return await self._build()
                except (ConnectFailed, TopologyMismatch) as error:
                    if first and getattr(error, "permanent", True):
                        raise StartError(str(error)) from error
                    raise
        raise AssertionError("tenacity gives up only when told to")
