"""What surrounds the work of a daemon that is no worker: signals, HTTP, the store's thread, a life on the broker.

A daemon is composed of a `Service` and its own `Work`:

    class Recorder:
        def __init__(self, settings: Settings, on_event: Subscriber) -> None:
            registry = CollectorRegistry()
            self._service = Service("recorder", settings, registry, on_event, RecorderMetrics(registry))
            self._work = Recording(self._service)

        def run(self) -> None:
            asyncio.run(self._service.serve(self._work))

Started in this order: HTTP, signals, `begin`, then `build` again and again. Stopped in the reverse one: no new life is built,
`end` finishes what has begun and still has the broker, then the life is closed, then the store's thread, HTTP last.
"""

import asyncio
import os
import socket
from typing import Protocol

from prometheus_client import CollectorRegistry

from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection
from warren.events import DaemonReady, DaemonStopped, DaemonStopping, Event, Events, StandingBy, Subscriber
from warren.health import Health, serve_http
from warren.rebuilding import Life, Rebuilding
from warren.service.leadership import Leadership
from warren.service.metrics import ServiceMetrics
from warren.service.store_thread import StoreThread
from warren.settings import Settings
from warren.stopping import Stopping
from warren.topology import Names


class Work(Protocol):
    """What a daemon does."""

    async def begin(self) -> None:
        """Make ready what needs no broker, once: the database. Raises StartError."""
        ...

    async def build(self) -> Life:
        """Connect, declare, consume: what is done until this life is lost; `AmqpError`, `TopologyMismatch`: not now.

        It closes what it has opened when it fails or is cancelled; see `Lives`.
        """
        ...

    async def end(self) -> None:
        """Finish what has begun, and close what `begin` has opened; called once, however far it came."""
        ...


class Service:
    """The lifecycle of one daemon.

    Args:
        kind: of daemon, as in `warren KIND`.
        settings: all of them.
        registry: of its metrics.
        subscribers: told everything that happens.
    """

    def __init__(self, kind: str, settings: Settings, registry: CollectorRegistry, *subscribers: Subscriber) -> None:
        self.kind = kind
        self.settings = settings
        self.names = Names(settings.namespace)
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self.health, self.http_port = Health(), 0
        self.stopping = Stopping()
        self.store = StoreThread()
        self.events = Events(*subscribers, ServiceMetrics(registry), self._heard)
        self.leadership = Leadership(kind, self.name, settings, self.events)
        self._registry = registry
        self._life: Life | None = None
        self._ready = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, work: Work) -> None:
        """Do the work until SIGTERM, SIGINT or `stop`.

        Raises:
            StartError: it could not begin.
        """
        self._loop = asyncio.get_running_loop()
        http = serve_http(self.settings, self._registry, self.health)
        self.http_port = http.port if http is not None else 0
        beating = asyncio.create_task(self.health.keep_beating())
        try:
            self.stopping.listen_to_signals(self._loop)
            if await self.stopping.unless_asked(work.begin()):
                await self.stopping.unless_asked(self._rebuilding(work).run())
            self.health.not_ready = "stopping"
            self.events.emit(DaemonStopping(self.kind, self.stopping.how))
        finally:
            await work.end()
            if self._life is not None:
                await self._life.close()
            await self.store.close()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            self.events.emit(DaemonStopped(self.kind, self.name))
            if http is not None:
                http.close()

    def stop(self) -> None:
        """Begin to stop; safe from any thread."""
        if self._loop is None:
            self.stopping.ask("stop")
        else:
            self._loop.call_soon_threadsafe(self.stopping.ask, "stop")

    async def connect(self, purpose: str, heartbeat: int | None = None) -> Connection:
        """Open one connection by the settings.

        Args:
            purpose: for its name.
            heartbeat: seconds, where that of the settings is too long.

        Raises:
            ConnectFailed: not now, or never.
        """
        return await connect_any(
            self.settings.urls,
            self.settings.engine or "pika",
            name=f"warren {self.kind} {self.name} {purpose}",
            heartbeat=heartbeat or self.settings.heartbeat,
            timeout=self.settings.connect_timeout,
        )

    def _rebuilding(self, work: Work) -> Rebuilding[Life]:
        return Rebuilding(work.build, self.settings.urls, self.health, self.events, on_built=self._built)

    def _built(self, life: Life, again: bool) -> None:  # noqa: ARG002 - as Rebuilding calls it
        self._life = life
        self._becomes_ready()

    def _heard(self, event: Event) -> None:
        """Be ready also where another one leads: standing by is what is wanted of this one."""
        if isinstance(event, StandingBy):
            self.health.not_ready = ""
            self._becomes_ready()

    def _becomes_ready(self) -> None:
        if not self._ready:
            self._ready = True
            http = f"{self.settings.http_host}:{self.http_port}" if self.http_port else ""
            self.events.emit(DaemonReady(self.kind, self.name, http))
