"""The leader's first duty: to publish the jobs of schedules when they are due.

In this order, so that no due time fires twice and none is lost, whoever dies when:

1. the due time is claimed in the store, by moving its schedule past it in the same transaction: only one can;
2. its job is published, by an id that follows from schedule and due time, on the connection that has the leader's lock;
3. when that is confirmed, the claim is marked as published.

Whoever leads next publishes what is claimed and not marked, by the same id. One that was stopped for so long that another
leads finds its connection gone: what it publishes on that goes nowhere.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from warren.amqp.seam import AmqpError, Connection, ConnectionLost
from warren.errors import StoreEmpty, StoreUnavailable, TopologyMismatch
from warren.events_schedules import ScheduleDelayed, ScheduleFired, ScheduleGivenUp, StoreAway
from warren.rebuilding import Life
from warren.scheduler.duties import Running
from warren.scheduler.looking import Outgoing, look
from warren.scheduler.publishing import Publisher
from warren.service.service import Service
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import FireState

_LOOK_SECONDS = 1.0
"""How soon a schedule is noticed that was made or changed at run time."""
_HOLD_SECONDS = 3.0
"""For how long nothing of a schedule is tried whose job the broker did not take."""
_PRUNE_SECONDS = 60.0
_PRUNED_AT_ONCE = 1000


class Firing:
    """Looks at the schedules whenever one is due, and publishes.

    Args:
        service: whose events and store thread are used.
        database: the store.
        tell_next: told when the next schedule is due, whenever that is known.
    """

    def __init__(self, service: Service, database: Database, tell_next: Callable[[float | None], None]) -> None:
        self._service = service
        self._database = database
        self._tell_next = tell_next
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._published: list[str] = []
        self._cancelled: list[str] = []
        self._given_up: list[str] = []
        self._held: dict[str, float] = {}
        """Until when, on the monotonic clock, nothing is tried of a schedule."""
        self._pruned_at = 0.0

    async def start(self, leading: Connection) -> Life:
        """Begin; see `Duty`."""
        publisher = Publisher(leading, self._service.settings)
        await publisher.open()
        stop = asyncio.Event()
        return Running(self._fire(publisher, stop), "firing schedules", stop)

    async def _fire(self, publisher: Publisher, stop: asyncio.Event) -> None:
        """Do turn after turn; a turn that has begun is ended before this stops, or its jobs would be published again."""
        try:
            while not stop.is_set():
                seconds = await self._turn(publisher)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await stop.wait()
        finally:
            for task in self._in_flight.values():
                task.cancel()
            await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
            self._in_flight.clear()

    async def _turn(self, publisher: Publisher) -> float:
        """Do what is due; return how long to sleep then."""
        try:
            await self._mark()
            found = await self._service.store.run(look, self._database, time.time(), self._now_held())
            for event in found.happened:
                self._service.events.emit(event)
            self._tell_next(found.wake_at)
            await self._publish(publisher, found.outgoing)
            await self._mark()
            has_more = await self._prune() or found.has_more
        except (StoreUnavailable, StoreEmpty) as error:
            self._service.events.emit(StoreAway(str(error)))
            return _LOOK_SECONDS
        if has_more:
            return 0.0
        if found.wake_at is None:
            return _LOOK_SECONDS
        return min(max(found.wake_at - time.time(), 0.0), _LOOK_SECONDS)

    async def _publish(self, publisher: Publisher, outgoing: tuple[Outgoing, ...]) -> None:
        """Publish what is not on its way already, and wait for the confirms, but not for ever."""
        new = [
            self._in_flight.setdefault(each.fire.job_id, asyncio.create_task(self._publish_one(publisher, each)))
            for each in outgoing
            if each.fire.job_id not in self._in_flight and each.fire.job_id not in self._published
        ]
        if new:
            done, _ = await asyncio.wait(new, timeout=self._service.settings.publish_timeout)
            for task in done:
                task.result()
        for each in outgoing:
            if each.fire.job_id in self._in_flight:
                self._delayed(each, "the broker has not confirmed it yet")

    async def _publish_one(self, publisher: Publisher, outgoing: Outgoing) -> None:
        fire = outgoing.fire
        try:
            await publisher.publish(outgoing)
        except ConnectionLost:
            return  # so is the leadership; whoever leads next publishes it
        except (AmqpError, TopologyMismatch) as error:
            self._delayed(outgoing, str(error))
            return
        except Exception as error:  # noqa: BLE001 - one job that cannot be sent must not keep the others from it
            self._given_up.append(fire.job_id)
            why = f"{type(error).__name__}: {error}"
            self._service.events.emit(
                ScheduleGivenUp(fire.schedule, 1, f"job {fire.job_id} cannot be published: {why}")
            )
            return
        finally:
            self._in_flight.pop(fire.job_id, None)
        self._published.append(fire.job_id)
        self._cancelled += outgoing.cancels
        late = max(0.0, round(time.time() - outgoing.ready_at, 3))
        self._service.events.emit(
            ScheduleFired(fire.schedule, fire.job_id, fire.job.task, fire.job.queue, fire.due, late)
        )

    def _now_held(self) -> frozenset[str]:
        now = time.monotonic()
        self._held = {schedule: until for schedule, until in self._held.items() if until > now}
        return frozenset(self._held)

    def _delayed(self, outgoing: Outgoing, why: str) -> None:
        """Hold back the schedule of what the broker does not take, and say so, once for all that was tried with it."""
        until, now = self._held.get(outgoing.fire.schedule, 0.0), time.monotonic()
        if until > now:
            return
        self._held[outgoing.fire.schedule] = now + _HOLD_SECONDS
        self._service.events.emit(ScheduleDelayed(outgoing.fire.schedule, outgoing.fire.job_id, why))

    async def _mark(self) -> None:
        published, cancelled, given_up = tuple(self._published), tuple(self._cancelled), tuple(self._given_up)
        if not published and not given_up:
            return
        await self._service.store.run(_mark, self._database, published, cancelled, given_up)
        del self._published[: len(published)], self._cancelled[: len(cancelled)], self._given_up[: len(given_up)]

    async def _prune(self) -> bool:
        """Drop what is too old, a part in each turn, so that no due time waits for it; True while there is more."""
        age, now = self._service.settings.history_age, time.time()
        if not age or now - self._pruned_at <= _PRUNE_SECONDS:
            return False
        has_more = await self._service.store.run(_prune, self._database, now - age) == _PRUNED_AT_ONCE
        if not has_more:
            self._pruned_at = now
        return has_more


def _mark(
    database: Database, published: tuple[str, ...], cancelled: tuple[str, ...], given_up: tuple[str, ...]
) -> None:
    now = time.time()
    with database.write() as connection:
        store.mark(connection, published, FireState.PUBLISHED, now)
        if cancelled:
            store.mark(connection, cancelled, FireState.CANCELLING, now)
        if given_up:
            store.give_up(connection, given_up, now)


def _prune(database: Database, before: float) -> int:
    with database.write() as connection:
        return store.prune(connection, before, _PRUNED_AT_ONCE)
