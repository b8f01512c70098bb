"""The work of a recorder, from one life on the broker to the next.

It leads or stands by; then it reads the stream from where the store is, and writes batch after batch. Each batch and the
place after it are one transaction (see `Ledger`), so a recorder may be killed at any moment: the next one reads again what
was not committed, and nothing that was. A store that is away is waited for; what comes meanwhile stays in the stream, as the
broker sends no more than a few batches ahead.

Where the stream is not the one the store knows, being shorter, it is read from its beginning: what is recorded twice makes no
difference. Where it begins after the place, it has dropped messages: that is told, in the log, the metrics and the store.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from warren import telling, topology
from warren.amqp.seam import Connection, ConnectionLost, Delivery
from warren.clock import wall
from warren.declaring import declare_each
from warren.errors import StartError, StoreEmpty, StoreUnavailable, TopologyMismatch
from warren.events_history import BacklogKept, BatchRecorded, HistoryDropped, NotRecorded, StoreBack
from warren.events_schedules import StoreAway
from warren.recorder.backlog import DEFAULT_BYTES, backlog, is_as_large
from warren.recorder.batches import Batch, Told, batches
from warren.recorder.inflow import Inflow
from warren.recorder.lag import Lag
from warren.recorder.ledger import Ledger, Overtaken
from warren.recorder.reading import NotUnderstood, Reading
from warren.recorder.upkeep import Upkeep
from warren.service.lives import Lives
from warren.service.service import Service
from warren.store.facts import Fact
from warren.store.gathering import Gathered, Gathering, gather
from warren.topology import Queue

T = TypeVar("T")

_MOMENT_SECONDS = 0.02
_FIRST_SECONDS = 20.0
"""For the mark to come back from the stream; then that is shorter than the store knows it."""
_BEHIND_SECONDS = 2.0
"""More than a batch takes, and the second that messages' times are rounded by: else a recorder that keeps pace would be told as behind."""
_NOTHING = gather(())
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 0.2, 5.0


class Recording:
    """What a recorder does; see `warren.service.service.Work`.

    Args:
        service: around it.
        ledger: where it writes.
        upkeep: of the store, between batches.
        limit: bytes that the stream keeps at most, where somebody said so.
    """

    def __init__(self, service: Service, ledger: Ledger, upkeep: Upkeep, limit: int | None) -> None:
        self._service = service
        self._ledger = ledger
        self._upkeep = upkeep
        self._limit = limit
        self._reading = Reading(service.names)
        self._tasks: list[asyncio.Task[None]] = []
        self._following: int | None = None
        self._lag = Lag()

    @property
    def lag(self) -> float:
        """Seconds between what happens and what is recorded; 0 when nothing waits."""
        return self._lag.seconds(wall())

    async def begin(self) -> None:
        """Make the tables; a server that is away is waited for, a file that cannot be had is an error."""
        database = self._ledger.database
        if not database.is_sqlite:
            await self._persistently(database.migrate)
            return
        try:
            await self._service.store.run(database.migrate)
        except StoreUnavailable as error:
            raise StartError(str(error)) from error

    async def build(self) -> Lives:
        """Lead, and record until that is lost."""
        async with Lives() as lives:
            lives.add(await self._service.leadership.take())
            connection = await self._service.connect("recording")
            lives.add(connection)
            await self._declare(connection)
            self._following = await self._persistently(self._ledger.following)
            inflow = await self._open(connection)
            await self._stop()
            ready: asyncio.Queue[Batch] = asyncio.Queue(maxsize=1)
            upkeep = self._upkeep.run(self._call, lambda: self.lag > _BEHIND_SECONDS)
            work = self._read(inflow, ready), self._record(inflow, ready), upkeep
            self._tasks = [asyncio.create_task(each) for each in work]
            for task in self._tasks:
                task.add_done_callback(partial(_ended, lives))
        lives.lost.add_done_callback(lambda _: [task.cancel() for task in self._tasks])
        return lives

    async def end(self) -> None:
        """Let the batch that is being written be written."""
        await self._stop()
        await self._service.store.run(self._ledger.database.close)

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _declare(self, connection: Connection) -> None:
        """All that is copied, and where to: also what workers and producers of an earlier version have not declared."""
        names = self._service.names
        stream, *bindings = backlog(names, self._limit or DEFAULT_BYTES)
        assert isinstance(stream, Queue)
        there = await connection.exists(stream)
        if not self._service.settings.declare:
            if not there:
                raise TopologyMismatch(
                    f"there is no stream {stream.name!r} to record from, and declare = false: "
                    "start `warren recorder` once as a user with the right to declare"
                )
            return
        # One that is there stays as large as it is: an operator may have made it so.
        if there and self._limit is not None and not await is_as_large(connection, stream):
            self._service.events.emit(BacklogKept(stream.name, self._limit))
        made = () if there else (stream,)
        items = (*topology.base(names), *topology.delays(names), *made, *bindings)
        await declare_each(connection, *items, who="recorder")

    async def _open(self, connection: Connection) -> Inflow:
        """Begin to read where the store is."""
        names = self._service.names
        # Whatever the stream holds, there is something to come now.
        mark = telling.to_message(self._service.name, (), wall())
        await connection.publish(mark, names.history.events, "mark", mandatory=True)
        while True:
            inflow = Inflow(connection, names.history.stream)
            subscription = await inflow.open(self._following)
            if await inflow.first(_FIRST_SECONDS):
                break
            if connection.lost.done():
                raise ConnectionLost(connection.lost.result())
            await connection.cancel(subscription)
            await self._move(0)
        gap = inflow.first_offset - (self._following or 0)
        if gap > 0:
            await self._move(inflow.first_offset, missed=gap)
            self._service.events.emit(HistoryDropped(gap))
        return inflow

    async def _move(self, following: int, *, missed: int = 0) -> None:
        """Read on from elsewhere."""
        await self._persistently(lambda: self._ledger.record(_NOTHING, self._following, following, wall(), missed))
        self._following = following

    async def _read(self, inflow: Inflow, ready: "asyncio.Queue[Batch]") -> None:
        """Read a batch, and gather what it tells, while the one before is written."""
        while True:
            for batch in batches(await inflow.take(_MOMENT_SECONDS), self._facts):
                await ready.put(batch)

    async def _record(self, inflow: Inflow, ready: "asyncio.Queue[Batch]") -> None:
        while True:
            batch = await ready.get()
            self._lag.taken(batch.published, wall())
            started = time.monotonic()
            facts = await self._persistently(partial(self._write, batch.told, batch.gathered))
            self._lag.written(batch.published, wall(), more=not (inflow.is_empty and ready.empty()))
            self._service.events.emit(BatchRecorded(len(batch.told), facts, time.monotonic() - started))

    def _write(self, told: Sequence[Told], gathered: Gathered) -> int:
        """Record what messages told; in the store's thread."""
        now, after = wall(), told[-1][0]
        try:
            self._ledger.record(gathered, self._following, after, now)
        except (StoreUnavailable, StoreEmpty, Overtaken):
            raise
        except Exception as error:  # noqa: BLE001 - one message that cannot be written must not keep the others out
            if len(told) > 1:
                return sum(self._write(half, gather(_facts(half))) for half in _halves(told))
            self._skipped(1, f"{type(error).__name__}: {error}")
            self._ledger.record(_NOTHING, self._following, after, now)
            told = ()
        self._following = after
        return len(_facts(told))

    def _facts(self, delivery: Delivery, gathering: Gathering) -> Sequence[Fact]:
        """Return what a message tells, and gather it."""
        try:
            facts = self._reading.facts(delivery, wall())
            gathering.add(facts)
        except NotUnderstood as error:
            self._skipped(1, str(error))
        except Exception as error:  # noqa: BLE001 - anybody publishes, and one message must not end the history
            self._skipped(1, f"{type(error).__name__}: {error}")
        else:
            return facts
        return ()

    def _skipped(self, count: int, reason: str) -> None:
        self._service.events.emit(NotRecorded(count, reason[:300]))

    async def _call(self, chore: Callable[[], bool]) -> bool:
        return await self._persistently(chore)

    async def _persistently(self, function: Callable[[], T]) -> T:
        """Call this in the store's thread until the store is there."""
        wait = _RETRY_FIRST_SECONDS
        away = False
        while True:
            try:
                done = await self._service.store.run(function)
            except StoreUnavailable as error:
                away = True
                self._service.health.not_ready = str(error)
                self._service.events.emit(StoreAway(str(error)))
                await asyncio.sleep(wait)
                wait = min(2 * wait, _RETRY_MAX_SECONDS)
                gc.collect()  # errors are cycles, with frames that have the batch, and may wait long to be found
            else:
                if away:
                    self._service.health.not_ready = ""
                    self._service.events.emit(StoreBack())
                return done


def _facts(told: Sequence[Told]) -> list[Fact]:
    return [fact for _, some in told for fact in some]


def _halves(told: Sequence[Told]) -> tuple[Sequence[Told], Sequence[Told]]:
    middle = len(told) // 2
    return told[:middle], told[middle:]


def _ended(lives: Lives, done: "asyncio.Task[None]") -> None:
    """A recorder that cannot write ends its life on the broker, and begins the next."""
    if done.cancelled() or (error := done.exception()) is None:
        return
    overtaken = isinstance(error, Overtaken)
    lives.lose("another recorder has written" if overtaken else f"{type(error).__name__}: {error}")
