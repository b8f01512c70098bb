"""The leader's second duty: to hear how the jobs of schedules end, by their results and by dead letters."""

import asyncio
import time
from collections.abc import Sequence

from warren import result
from warren.amqp.seam import Connection, Delivery, Settle
from warren.errors import StoreEmpty, StoreUnavailable
from warren.events_history import NotRecorded
from warren.events_schedules import StoreAway
from warren.rebuilding import Life
from warren.scheduler.duties import Running
from warren.service.service import Service
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import FireState

_AT_ONCE = 200
_AGAIN_SECONDS = 1.0
_ID_BYTES = 255
"""The most that the broker takes for a message's id."""


class Endings:
    """Notes in the store what became of each job.

    Args:
        service: whose events and store thread are used.
        database: the store.
    """

    def __init__(self, service: Service, database: Database) -> None:
        self._service = service
        self._database = database

    async def start(self, leading: Connection) -> Life:
        """Begin; see `Duty`."""
        heard: asyncio.Queue[Delivery] = asyncio.Queue()
        await leading.consume(self._service.names.schedules, heard.put_nowait, prefetch=_AT_ONCE)
        return Running(self._note(leading, heard), "hearing of schedules' jobs")

    async def _note(self, leading: Connection, heard: "asyncio.Queue[Delivery]") -> None:
        while True:
            deliveries = [await heard.get()]
            while not heard.empty():
                deliveries.append(heard.get_nowait())
            ends = [end for delivery in deliveries if (end := end_of(delivery, self._service.names.dead)) is not None]
            await self._write(ends)
            for delivery in deliveries:
                leading.settle(delivery, Settle.ACK)

    async def _write(self, ends: Sequence[tuple[str, FireState]]) -> None:
        while ends:
            try:
                await self._service.store.run(_write, self._database, ends)
            except (StoreUnavailable, StoreEmpty) as error:
                self._service.events.emit(StoreAway(str(error)))
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception as error:  # noqa: BLE001 - anybody writes dead letters, and one must not keep the others out
                if len(ends) > 1:
                    for each in ends:
                        await self._write([each])
                else:
                    self._service.events.emit(NotRecorded(1, f"{type(error).__name__}: {error}"[:300]))
                return
            else:
                return


def end_of(delivery: Delivery, dead: str) -> tuple[str, FireState] | None:
    """Return which job has ended, and as what; None for what says nothing of that.

    Args:
        delivery: a result, or a dead letter.
        dead: the exchange of dead letters.
    """
    message = delivery.message
    if delivery.exchange == dead:
        dead_id = message.message_id or ""
        return (dead_id, FireState.DEAD) if _is_id(dead_id) else None
    told = result.from_message(message)
    state = store.state_of(told.state) if told is not None else None
    return (told.id, state) if told is not None and state is not None and _is_id(told.id) else None


def _is_id(text: str) -> bool:
    """Return whether this can be the id of a schedule's job; anybody writes messages, and databases do not take any text."""
    return text.isprintable() and 0 < len(text.encode()) <= _ID_BYTES


def _write(database: Database, ends: Sequence[tuple[str, FireState]]) -> None:
    now = time.time()
    with database.write() as connection:
        for job_id, state in ends:
            store.end(connection, job_id, state, now)
