"""What both producers are made of: one link, its publisher and listener. Lives on one event loop."""

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from warren.amqp.seam import Message
from warren.errors import ResultTimeout
from warren.events import Events
from warren.job import Body, Job
from warren.metrics import of_application
from warren.producer.cancelling import Canceller
from warren.producer.core import AnyTask, Composer, Outgoing
from warren.producer.from_thread import ThreadPublisher
from warren.producer.handles import MapState
from warren.producer.inbox import AnySlot, ChunkSlot, Slot
from warren.producer.link import Link, Session
from warren.producer.listening import Listener
from warren.producer.publishing import Publisher
from warren.producer.starting import Starter
from warren.result import Result
from warren.settings import Settings
from warren.task import Call, named

_SENT = Message(b"")
_NEVER = asyncio.Event()
"""Of all jobs whose result nobody wants."""


class Client:
    """Publishes composed jobs and hands out the slots in which their results will lie."""

    def __init__(self, settings: Settings, engine: str) -> None:
        self.settings = settings
        self._listener = Listener()
        self._link = Link(settings, engine, self._on_session)
        self.canceller = Canceller(self._link, self._listener)
        self.starter = Starter(self._link, self._listener)
        self._publisher = Publisher(self._link, Events(of_application()))
        self.from_thread = ThreadPublisher(self._publisher)
        """Publishes in any other thread than the loop's."""
        self.composer = Composer(self._link.names, self._listener.reply_key, settings.payload_limit)

    async def reach(self) -> None:
        """Connect now rather than at the first job."""
        await self._link.reach()

    async def close(self) -> None:
        """Close the connection for good."""
        self._publisher.close()
        await self._link.close()

    def compose(self, task: AnyTask | str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Outgoing:
        """Return a job ready to be sent; needs no connection and may be called from any thread."""
        reference = named(task) if isinstance(task, str) else task
        return self.composer.job(reference, reference.signature.dump(args, kwargs), time.time())

    def compose_calls(self, calls: Iterable[Call[Any]]) -> Iterator[Outgoing]:
        """Return jobs ready to be sent, lazily."""
        return (self.composer.call(call, time.time()) for call in calls)

    def compose_chunks(
        self, task: AnyTask, items: Iterable[Any], size: int, kwargs: Mapping[str, Any] | None
    ) -> Iterator[Outgoing]:
        """Return the chunks of a map ready to be sent, lazily."""
        return self.composer.chunks(task, items, size, kwargs or {}, time.time())

    def expect(self, outgoing: Outgoing) -> Slot:
        """Return where a job's result will lie; before it is sent."""
        kind = outgoing.kind
        if not kind.wants_result:
            return Slot(outgoing, kind.result_type, changed=_NEVER)
        slot = Slot(outgoing, kind.result_type)
        self._listener.inbox.expect(slot)
        return slot

    async def send(self, outgoing: Outgoing) -> None:
        """Publish one job, confirmed."""
        await self._publisher.send(outgoing)

    async def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined and confirmed."""
        await self._publisher.send_many(outgoing)

    async def send_chunks(self, outgoing: Iterable[Outgoing], changed: asyncio.Event) -> list[ChunkSlot]:
        """Publish the chunks of a map, pipelined and confirmed; `changed` is set whenever any of them gets a result."""
        slots: list[ChunkSlot] = []

        def expected() -> Iterator[Outgoing]:
            for one in outgoing:
                # The items are on their way; a million of them need not stay here as well.
                slot = ChunkSlot(replace(one, letter=_SENT), one.items, changed)
                self._listener.inbox.expect(slot)
                slots.append(slot)
                yield one

        await self._publisher.send_many(expected())
        return slots

    def slot_of(self, job_id: str) -> Slot:
        """Return a slot for a job that was enqueued anywhere."""
        slot = Slot(Job(job_id, Body(""), ""))
        self._listener.inbox.expect(slot)
        return slot

    async def wait(self, slot: AnySlot, seconds: float | None) -> None:
        """Wait until something new lies in a slot.

        Raises:
            ResultTimeout: nothing in time.
        """
        self._listener.inbox.expect(slot)  # again: after a fork this is another inbox than that of its enqueuing
        try:
            async with asyncio.timeout(seconds):
                if not slot.complete:
                    await self._listener.hear(self._link, slot)
        except TimeoutError:
            raise ResultTimeout(slot.job.id, seconds or 0.0) from None
        if not isinstance(slot, Slot):
            slot.changed.clear()

    async def find(self, job_id: str) -> Result | None:
        """Return a job's final result, if the broker keeps it."""
        return (await self._listener.find_all(self._link, {job_id})).get(job_id)

    def map_state(self, slots: list[ChunkSlot], task: AnyTask) -> MapState:
        """Return what a map's handle works on."""
        return MapState(slots, task.signature.result)

    async def _on_session(self, session: Session) -> None:
        names = self._link.names
        await self._listener.listen(session, names.reply(uuid.uuid4().hex), names.results)
