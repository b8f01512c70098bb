"""The recorder: reads what happens to jobs from the broker and keeps it in the store; any number of them run, one records."""

import asyncio

from prometheus_client import CollectorRegistry

from warren.events import Subscriber
from warren.recorder.ledger import Ledger
from warren.recorder.metrics import RecorderMetrics
from warren.recorder.recording import Recording
from warren.recorder.upkeep import Upkeep
from warren.service.service import Service
from warren.settings import Settings
from warren.store.opening import open_store


class Recorder:
    """Keeps the history of jobs.

    Normally it is started by `warren recorder`.

    Args:
        settings: all of them.
        on_event: told everything that happens.
        backlog: bytes that the stream it reads keeps at most; one that is there stays as it is.

    Raises:
        InvalidSettings: `store` is no URL of one.
        StoreUnavailable: a library is missing.
    """

    def __init__(self, settings: Settings, on_event: Subscriber, *, backlog: int | None = None) -> None:
        database = open_store(settings.store)
        registry = CollectorRegistry()
        metrics = RecorderMetrics(registry)
        self._service = Service("recorder", settings, registry, on_event, metrics)
        ledger = Ledger(database, self._service.names.history.stream)
        upkeep = Upkeep(database, settings.history_age, settings.history_jobs)
        self._recording = Recording(self._service, ledger, upkeep, backlog)
        metrics.show_lag(lambda: self._recording.lag)

    def run(self) -> None:
        """Record until SIGTERM, SIGINT or `stop`.

        Raises:
            StartError: it could not begin.
        """
        asyncio.run(self.serve())

    async def serve(self) -> None:
        """As `run`, on a loop that is there already."""
        await self._service.serve(self._recording)

    def stop(self) -> None:
        """Begin to stop; safe from any thread."""
        self._service.stop()
