"""Looking, now and then, whether anything about workflows was left undone: no job is asked for, only what we know is compared.

Nothing here is needed while all goes well. It ends what a crash, a purged or deleted queue, or a broker that took nothing left
behind: actions that were not done, nodes that could move and did not, results that never came.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from warren.amqp.seam import ChannelRefused, Connection
from warren.conductor.conductor import Conductor
from warren.conductor.ledger import Counts, Ledger, Overdue
from warren.conductor.looking import find_results
from warren.conductor.reading import Happened, ended
from warren.errors import StoreEmpty, StoreUnavailable
from warren.events_schedules import StoreAway
from warren.events_workflows import WorkflowsSwept
from warren.service.service import Service
from warren.workflow.machine import Nudged

EVERY_SECONDS = 60.0
OVERDUE_SECONDS = 60.0
"""A node that has been queued for so long may have lost its result."""
_LOOK_AGAIN_SECONDS = 600.0
_LOOKS = 100_000


class Sweeper:
    """Sweeps while this scheduler leads.

    Args:
        service: whose settings, events and store thread are used.
        ledger: only touched in the store thread.
        conductor: does what is found to be undone.
        connection: for reading the stream of results.
        count: told how many workflows there are in each state.
        overdue_seconds: see `OVERDUE_SECONDS`.
    """

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        conductor: Conductor,
        connection: Connection,
        count: Callable[[Counts], None],
        *,
        overdue_seconds: float = OVERDUE_SECONDS,
    ) -> None:
        self._service = service
        self._ledger = ledger
        self._conductor = conductor
        self._connection = connection
        self._count = count
        self._overdue_seconds = overdue_seconds
        self._looked: dict[str, float] = {}
        """When the result of a job is looked for again."""

    async def work(self) -> None:
        """Sweep every minute until cancelled."""
        while True:
            try:
                await self.sweep()
            except (StoreUnavailable, StoreEmpty) as error:
                self._service.events.emit(StoreAway(str(error)))
            await asyncio.sleep(EVERY_SECONDS)

    async def sweep(self) -> None:
        """Look through everything once."""
        repeated = await self._conductor.catch_up()
        running = moved = found = 0
        last, now = "", time.time()
        while (page := await self._service.store.run(self._ledger.survey, last, now - self._overdue_seconds)).ids:
            last, running = page.ids[-1], running + len(page.ids)
            if page.stuck:
                moved += await self._conductor.hear([Happened(workflow, Nudged(now)) for workflow in page.stuck])
            found += await self._look(page.overdue)
        self._service.events.emit(WorkflowsSwept(running, repeated, moved, found))
        settings = self._service.settings
        before = now - settings.history_age if settings.history_age else None
        # One transaction each, so that in between others have their turn.
        while await self._service.store.run(self._ledger.forget, before, settings.history_jobs or None):
            pass
        self._count(await self._service.store.run(self._ledger.counts))

    async def _look(self, overdue: Sequence[Overdue]) -> int:
        """Look for the results of what is queued for long, and take in what is found; return how many that changed."""
        now = time.monotonic()
        wanted = {one.job: one for one in overdue if self._looked.get(one.job, 0.0) <= now}
        if not wanted:
            return 0
        if len(self._looked) > _LOOKS:
            self._looked.clear()
        self._looked |= dict.fromkeys(wanted, now + _LOOK_AGAIN_SECONDS)
        since = min(one.since for one in wanted.values())
        try:
            results = await find_results(self._connection, self._service.names, wanted.keys(), since)
        except ChannelRefused:
            return 0  # no right to read them
        ends = [ended(wanted[job].workflow, wanted[job].node, one) for job, one in results.items()]
        return await self._conductor.hear(ends) if ends else 0
