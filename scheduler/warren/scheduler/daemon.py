"""The scheduler: any number of them run, one leads and does all the duties, the others stand by."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from warren.conductor.duty import Conducting
from warren.conductor.metrics import ConductorMetrics
from warren.events import Subscriber
from warren.events_schedules import SchedulesRead
from warren.rebuilding import Life
from warren.scheduler.duties import Duty
from warren.scheduler.endings import Endings
from warren.scheduler.firing import Firing
from warren.scheduler.loading import load
from warren.scheduler.metrics import SchedulerMetrics
from warren.scheduler.schedules import Schedules
from warren.service.lives import Lives
from warren.service.service import Service
from warren.settings import Settings
from warren.store.database import Database


class Scheduler:
    """Keeps the schedules of a store, and moves its workflows.

    Normally it is started by `warren scheduler MODULE…`.

    Args:
        modules: import names; the schedules of their tasks are all that are declared in code. None of them: the store keeps those it has.
        settings: all of them.
        on_event: told everything that happens; logs for example.

    Raises:
        InvalidSettings, StoreUnavailable: the store cannot be one.
    """

    def __init__(self, modules: Sequence[str], settings: Settings, on_event: Subscriber) -> None:
        registry = CollectorRegistry()
        metrics, of_workflows = SchedulerMetrics(registry), ConductorMetrics(registry)
        self._service = Service("scheduler", settings, registry, on_event, metrics, of_workflows)
        database = Database(settings.store)
        duties: list[Duty] = [
            Firing(self._service, database, metrics.next_due),
            Endings(self._service, database),
            Conducting(self._service, database, of_workflows),
        ]
        self._work = _Work(self._service, database, modules, duties)

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or `stop`.

        Raises:
            StartError: it could not begin.
        """
        asyncio.run(self._service.serve(self._work))

    def stop(self) -> None:
        """Begin to stop; safe from any thread."""
        self._service.stop()


class _Work:
    """Makes the store ready, then leads again and again."""

    def __init__(self, service: Service, database: Database, modules: Sequence[str], duties: Sequence[Duty]) -> None:
        self._service = service
        self._database = database
        self._modules = modules
        self._duties = duties

    async def begin(self) -> None:
        settings, store = self._service.settings, self._service.store
        declared = load(self._modules, settings.payload_limit)
        await store.run(self._database.migrate)
        if self._modules:
            synced = await store.run(Schedules(self._database).sync, declared)
            self._service.events.emit(SchedulesRead(synced.added, synced.changed, synced.retired))

    async def build(self) -> Life:
        leading = await self._service.leadership.take()
        try:
            async with Lives() as lives:
                for duty in self._duties:
                    lives.add(await duty.start(leading))
        except BaseException:
            await leading.close()
            raise
        lives.add(leading)  # closed last: what the duties have begun may still need it
        return lives

    async def end(self) -> None:
        await self._service.store.run(self._database.close)
