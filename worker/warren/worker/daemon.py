"""The worker: an asyncio parent that does I/O only. It keeps a pool busy from its queues until it is told to stop."""

import asyncio
import os
import random
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from warren import clock, quantities
from warren.events import Event, Events, WorkerDraining, WorkerReady, WorkerStopped
from warren.health import Health, serve_http
from warren.metrics import Metrics
from warren.rebuilding import Rebuilding
from warren.settings import Settings, load
from warren.status import WorkerState
from warren.stopping import Stopping
from warren.topology import Names, events_exchange, workers_exchange
from warren.worker.autoscaler import Autoscaler, jobs_ready
from warren.worker.blame import STOPPING
from warren.worker.bulletins import Bulletins
from warren.worker.cancelling import Cancelling
from warren.worker.caps import Caps
from warren.worker.control import Control
from warren.worker.execution import Runner
from warren.worker.intake import Intake
from warren.worker.outlet import Outlet
from warren.worker.pausing import Pausing
from warren.worker.plan import Planner
from warren.worker.pool import Pool
from warren.worker.read_ahead import ReadAhead
from warren.worker.report import Report, Subject
from warren.worker.session import Session
from warren.worker.settle import Settler
from warren.worker.setup import Setup
from warren.worker.steering import Steering
from warren.worker.user_metrics import Sums

_FINISH_SECONDS = 5.0


class Worker:
    """Runs jobs of the given modules' tasks, from its queues, in its own pool of processes.

    Normally it is started by `warren worker MODULE…`. Embedded: `Worker(["images.jobs"], queues=["images"]).run()`.

    Args:
        modules: import names; the tasks in them can be run.
        settings: all settings; else they come from `changes`, `WARREN_*` and `warren.toml` (see `warren.settings.Settings`).
        on_event: told everything that happens (see `warren.events`); logs for example.
        changes: single settings by name, as `queues=["images"], processes=4`.

    Raises:
        InvalidSettings: with every problem found.
    """

    def __init__(
        self,
        modules: Sequence[str],
        settings: Settings | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        **changes: Any,
    ) -> None:
        self.settings = settings or load(**changes)
        self.name = self.settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self.health, self.http_port = Health(), 0
        processes, most = _bounds(self.settings)
        self._registry = CollectorRegistry()
        metrics = Metrics(self._registry)
        sums = Sums(metrics)
        self._registry.register(sums)
        names = Names(self.settings.namespace)
        self._outlet = Outlet(self.settings, self.name)
        self._bulletins = Bulletins(self.name, self._outlet, events_exchange(names), clock.wall)
        self._events = Events(*([on_event] if on_event else []), metrics, self._bulletins)
        self._ahead = ahead = _read_ahead(processes, self.settings)
        self._pool = Pool(
            processes,
            _setup(modules, self.settings),
            self._events,
            on_counted=lambda counted: sums.add(counted.families),
            depth=lambda: ahead.each,
            on_coroutines=ahead.entered,
            caps=Caps(self.settings.max_jobs_per_process, self.settings.max_memory_per_process),
        )
        metrics.show_slots(lambda: self._pool.counts)
        metrics.show_pool(lambda: self._pool.size, processes, most)
        self._control = Control(self.settings, self.name, self._outlet, self._events)
        self._pausing = Pausing(self.settings.queue_names, self._events)
        self._intake = self._make_intake()
        subject = Subject(self.name, self.settings.queue_names, self._pool, metrics)
        self._report = Report(subject, self._outlet, workers_exchange(names), self._events, clock.wall)
        self._session: Session | None = None
        self._stopping = Stopping()
        self._loop: asyncio.AbstractEventLoop | None = None

    def _make_intake(self) -> Intake:
        settings = self.settings
        names, limit = Names(settings.namespace), settings.payload_limit
        planner = Planner(names, self.name, limit, random.Random())  # noqa: S311 - jitter
        runner = Runner(self._pool, planner, self._events, clock.wall, limit, self._ahead)
        deadline, doubt = settings.publish_timeout, 3.0 * settings.heartbeat
        settler = Settler(self._events, self._outlet, deadline=deadline, doubt=doubt)
        pausing = self._pausing
        intake = Intake(
            settings.shares,
            names,
            runner,
            settler,
            self._ahead,
            strict=settings.strict,
            is_paused=pausing.is_paused,
        )
        self._pool.on_resize, self._pool.on_usable = intake.resize, intake.usable
        pausing.listen(self._control, intake.pauses_changed)
        Cancelling(runner, intake.cancel).listen(self._control)
        return intake

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or `stop`; returns when everything is finished or given back.

        Raises:
            StartError: it could not begin.
        """
        asyncio.run(self.serve())

    def stop(self) -> None:
        """Begin to stop, gracefully; a second call hurries. Safe from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.ask, "stop")

    async def serve(self) -> None:
        """As `run`, on a loop that is there already."""
        self._loop = asyncio.get_running_loop()
        http = serve_http(self.settings, self._registry, self.health)
        self.http_port = http.port if http is not None else 0
        chores: list[asyncio.Task[None]] = []
        try:
            self._stopping.listen_to_signals(self._loop)
            steering = Steering(
                self._pool, self._intake, self._stopping, self.settings.grace_period, _bounds(self.settings)
            )
            steering.listen(self._control)
            scaler = _autoscaler(self.settings, self._pool, self._outlet, self._events)
            talking = self._report.run(), self._bulletins.run()
            chores += [asyncio.create_task(chore) for chore in (self.health.keep_beating(), *talking, scaler.scale())]
            if await self._stopping.unless_asked(self._start_pool()):
                await self._stopping.unless_asked(self._rebuilding().run())
            await self._drain()
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            if self._session is not None:
                await self._session.close()
            await self._bulletins.end()
            await self._report.end()
            await self._outlet.close()
            await self._pool.stop()
            self._events.emit(WorkerStopped(*self._intake.counts))
            if http is not None:
                http.close()

    async def _start_pool(self) -> None:
        await self._pool.start()
        kinds = {info.is_coroutine for info in self._pool.tasks.values()}
        self._ahead.coroutines = self.settings.coroutines if True in kinds else 0
        self._ahead.mixed = len(kinds) > 1

    async def _open(self) -> Session:
        self._session = session = await Session.open(self.settings, self.name, self._outlet)
        try:
            await self._control.open(session.inbound)
            await self._pausing.renew(self._outlet, session.names)
            await self._intake.open(session)
        except Exception:
            # Jobs may have begun by it. When we are only told to stop, they are drained and `serve` closes it.
            if session.alive:
                await session.close()
            self._intake.lost(session, session.lost.result())
            await session.close()
            raise
        return session

    def _rebuilding(self) -> Rebuilding[Session]:
        return Rebuilding(
            self._open,
            self.settings.urls,
            self.health,
            self._events,
            on_built=self._connected,
            on_lost=self._disconnected,
        )

    def _connected(self, _: Session, again: bool) -> None:
        self._report.becomes(WorkerState.RUNNING)
        if not again:
            http = f"{self.settings.http_host}:{self.http_port}" if self.http_port else ""
            tasks = tuple(sorted(self._pool.tasks))
            self._events.emit(WorkerReady(self.name, self.settings.queue_names, self._pool.size, tasks, http))

    def _disconnected(self, session: Session, reason: str) -> None:
        self._intake.lost(session, reason)
        self._report.becomes(WorkerState.DISCONNECTED)

    async def _drain(self) -> None:
        """No new jobs; running ones get the grace period; the rest is given back, uncharged."""
        self.health.not_ready = "stopping"
        self._report.becomes(WorkerState.DRAINING)
        grace = self.settings.grace_period
        self._events.emit(WorkerDraining(self._stopping.how, self._intake.running, grace))
        await self._intake.drain(grace, self._stopping.hurry)
        self._pool.kill_busy(STOPPING)
        await self._intake.finish(_FINISH_SECONDS)


def _read_ahead(processes: int, settings: Settings) -> ReadAhead:
    """None but where one queue is served: what waits for a process must not keep another queue's jobs from it."""
    return ReadAhead(processes, settings.read_ahead if len(settings.queues) == 1 else 0)


def _autoscaler(settings: Settings, pool: Pool, outlet: Outlet, events: Events) -> Autoscaler:
    names = Names(settings.namespace)
    queues = [names.queue(queue) for queue in settings.queue_names]
    memory = settings.max_memory_per_process
    return Autoscaler(pool, _bounds(settings), lambda: jobs_ready(outlet, queues), events, memory=memory)


def _bounds(settings: Settings) -> tuple[int, int]:
    """How many processes at least and at most."""
    least, most = quantities.bounds(settings.processes)
    return (least, most) if most else (cpus := os.cpu_count() or 1, cpus)


def _setup(modules: Sequence[str], settings: Settings) -> Setup:
    here = str(Path.cwd())
    path = [entry or here for entry in sys.path]
    if here not in path:
        path.insert(0, here)
    return Setup(
        tuple(modules), path, settings.log_level, settings.log_format, settings.start_method, settings.coroutines
    )
