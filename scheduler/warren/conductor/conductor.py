"""Moving workflows: one of the leading scheduler's duties.

Messages are taken in batches, and acked last: when what they led to is written down, done, and struck out. A batch is taken in
while the one before is done with; so everything here runs in turns, but for waiting until workers have said which jobs they
hold that are cancelled.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from warren import dead_letter
from warren.amqp.seam import AmqpError, Connection, ConnectionLost, Delivery, Settle
from warren.conductor.cancelling import Canceller
from warren.conductor.doing import Doer
from warren.conductor.ledger import Announce, Cancelling, Due, Heeded, Ledger
from warren.conductor.reading import Happened, Heard, Nothing, Refused, Submitted, read
from warren.dead_letter import Evidence
from warren.errors import StoreEmpty, StoreUnavailable
from warren.events_schedules import StoreAway
from warren.events_workflows import WorkflowDelayed, WorkflowMessageIgnored, WorkflowRefused
from warren.outcome import Failure
from warren.service.service import Service

T = TypeVar("T")

PREFETCH = 500
TOGETHER = 50
"""So much is done between two strikes."""
_AGAIN_SECONDS = 1.0
_STANDING_SECONDS = 0.5
"""How often it is told at most how far a workflow is."""
_STANDINGS = 10_000


class Conductor:
    """Hears of workflows and does what follows, while this scheduler leads.

    Args:
        service: whose settings, events and store thread are used.
        ledger: only touched in the store thread.
        consuming: where messages come from and jobs are cancelled.
        leading: the connection that has the lock, where jobs and results go.
        behind: told how many seconds ago the oldest message of a batch was written.
    """

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        consuming: Connection,
        leading: Connection,
        behind: Callable[[float], None],
    ) -> None:
        self._service, self._names = service, service.names
        self._ledger = ledger
        self._consuming = consuming
        self._doer = Doer(leading, service.settings)
        self._leading = leading
        self._canceller = Canceller(consuming, service.names)
        self._behind = behind
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._cancelling: dict[int, asyncio.Task[None]] = {}
        """By entry of the outbox."""
        self._stood: dict[str, float] = {}
        """When it was told how far a workflow is."""

    async def work(self) -> None:
        """Do what a leader before may not have done, then move workflows until cancelled."""
        try:
            await self.catch_up()
            await self._consuming.consume(self._names.workflows, self._arrived.put_nowait, prefetch=PREFETCH)
            while True:
                batch = [await self._arrived.get()]
                while not self._arrived.empty():
                    batch.append(self._arrived.get_nowait())
                await self._take_in(batch)
        finally:
            for task in self._cancelling.values():
                task.cancel()
            await asyncio.gather(*self._cancelling.values(), return_exceptions=True)

    async def catch_up(self) -> int:
        """Do everything that the outbox has; return how much that was."""
        after = count = 0
        async with self._turn:
            while (heeded := await self._stored(partial(self._ledger.remaining, after, time.time()))).page:
                after, count = heeded.page, count + len(heeded.dues)
                await self._follow(heeded)
        return count

    async def hear(self, happened: Sequence[Happened]) -> int:
        """Take in what was found out otherwise; return how much of it changed anything."""
        async with self._turn:
            heeded = await self._stored(partial(self._ledger.hear, happened, time.time()))
            await self._follow(heeded)
        return heeded.taken

    async def _take_in(self, batch: Sequence[Delivery]) -> None:
        now = time.time()
        self._behind(max(0.0, *(now - (delivery.message.timestamp or now) for delivery in batch), 0.0))
        heard = [(delivery, read(delivery, self._names, now)) for delivery in batch]
        async with self._turn:
            await self._move(heard)
        for _, one in heard:
            if isinstance(one, Refused):
                if one.reply_to is not None:
                    await self._announce(Announce(one.answer, one.reply_to))
                self._service.events.emit(WorkflowRefused(one.answer.id, one.answer.error))
            elif isinstance(one, Nothing) and one.why:
                self._service.events.emit(WorkflowMessageIgnored(one.why))
        for delivery in batch:
            self._consuming.settle(delivery, Settle.ACK)

    async def _move(self, heard: Sequence[tuple[Delivery, Heard]]) -> None:
        """Take a batch in; if that fails by a mistake of ours, each message alone, so that one bad one holds up no others."""
        moving = [(delivery, one) for delivery, one in heard if isinstance(one, Submitted | Happened)]
        if not moving:
            return
        try:
            heeded = await self._stored(partial(self._ledger.hear, [one for _, one in moving], time.time()))
        except AmqpError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            if len(moving) == 1:
                await self._bury(moving[0][0], error)
            else:
                for one in moving:
                    await self._move([one])
            return
        await self._follow(heeded)

    async def _follow(self, heeded: Heeded) -> None:
        """Do what follows, and what follows from that."""
        while True:
            for told in heeded.told:
                self._service.events.emit(told)
            for due in heeded.dues:
                if isinstance(due.todo, Cancelling):
                    self._begin_to_cancel(due)
            refused = await self._do([due for due in heeded.dues if not isinstance(due.todo, Cancelling)])
            for due, why in refused:
                if isinstance(due.todo, Announce):
                    self._service.events.emit(WorkflowMessageIgnored(_unannounced(due.todo, why)))
            await self._tell_standings(heeded.standings)
            if not refused:
                return
            heeded = await self._stored(partial(self._ledger.refuse, refused, time.time()))

    async def _do(self, dues: Sequence[Due]) -> list[tuple[Due, str]]:
        """Do what is due, and strike it out; return what can never be done.

        Not too much between two strikes: all that is done and not struck out when this leader dies is done once more.
        """
        refused: list[tuple[Due, str]] = []
        for start in range(0, len(dues), TOGETHER):
            outcome = await self._doer.do(dues[start : start + TOGETHER])
            if outcome.done:
                await self._stored(partial(self._ledger.strike, outcome.done))
            if outcome.left:
                self._service.events.emit(WorkflowDelayed(outcome.left[0][1], len(outcome.left)))
            refused += outcome.refused
        return refused

    async def _tell_standings(self, standings: Sequence[Announce]) -> None:
        """Tell how far workflows are, not too often: who waits likes to see it, but nobody needs it."""
        now = time.monotonic()
        if len(self._stood) > _STANDINGS:
            self._stood.clear()
        for standing in standings:
            if now - self._stood.get(standing.result.id, 0.0) >= _STANDING_SECONDS:
                self._stood[standing.result.id] = now
                await self._announce(standing)

    async def _announce(self, announced: Announce) -> None:
        """Tell what nothing hangs on: that the broker does not take it holds up nobody."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._service.settings.publish_timeout):
                    await self._doer.announce(announced)
        except Exception as error:
            if isinstance(error, ConnectionLost) or self._leading.lost.done():
                raise
            self._service.events.emit(WorkflowMessageIgnored(_unannounced(announced, str(error))))

    def _begin_to_cancel(self, due: Due) -> None:
        key = due.entry.id
        if key not in self._cancelling:
            self._cancelling[key] = task = asyncio.create_task(self._cancel(due))
            task.add_done_callback(lambda _: self._cancelling.pop(key, None))

    async def _cancel(self, due: Due) -> None:
        """Set tombstones, wait what workers say, and end the jobs that nobody has; that may take a second."""
        assert isinstance(due.todo, Cancelling)
        try:
            waiting = await self._canceller.tombstones(due.todo.jobs, due.todo.reason)
            async with self._turn:
                waiting = await self._stored(partial(self._ledger.still_queued, due.entry, waiting))
            await self._canceller.tell(waiting, due.todo.reason)
            await self._stored(partial(self._ledger.strike, [due.entry.id]))
        except AmqpError as error:
            # The entry stays: it is done again by the next sweep, or by whoever leads next.
            self._service.events.emit(WorkflowDelayed(f"cancelling jobs: {error}", 1))

    async def _bury(self, delivery: Delivery, error: Exception) -> None:
        """Make a dead letter of what cannot be taken in: nothing is dropped silently, and nothing comes again for ever."""
        failure = Failure(type(error).__name__, str(error), "")
        evidence = Evidence("undecodable", failure, self._service.name, time.time())
        letter = dead_letter.bury(delivery.message, "", evidence, None)
        await self._leading.publish(letter, self._names.dead, "")
        self._service.events.emit(WorkflowMessageIgnored(f"{type(error).__name__}: {error}"))

    async def _stored(self, work: Callable[[], T]) -> T:
        """Do something in the store's thread; wait while the store is away."""
        while True:
            try:
                return await self._service.store.run(work)
            except (StoreUnavailable, StoreEmpty) as error:
                self._service.events.emit(StoreAway(str(error)))
                await asyncio.sleep(_AGAIN_SECONDS)


def _unannounced(announced: Announce, why: str) -> str:
    return f"what became of workflow {announced.result.id!r:.60} cannot be announced: {why}"
