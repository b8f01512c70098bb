"""Who waits for which result. Everything here happens on the producer's event loop."""

import asyncio
import weakref
from dataclasses import dataclass, field
from typing import Any

import msgspec

from warren.job import Job
from warren.result import ItemFailure, Result
from warren.states import FINAL, JobState


@dataclass(eq=False, slots=True, weakref_slot=True)
class Slot:
    """The place where one job's result will lie; held by its handle, so results nobody can ask for are dropped."""

    job: Job
    result_type: Any = Any
    result: Result | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    peers: "Peers | None" = None

    def put(self, result: Result) -> None:
        """Take a result; only a final one counts for a plain job."""
        if result.state in FINAL and self.result is None:
            self.result = result
            self.changed.set()

    @property
    def complete(self) -> bool:
        return self.result is not None


@dataclass(eq=False, slots=True, weakref_slot=True)
class ChunkSlot:
    """The place where one chunk's results collect, by place in the chunk; they may come in parts and twice."""

    job: Job
    size: int
    changed: asyncio.Event
    """Shared by all chunks of a map."""
    values: dict[int, msgspec.Raw] = field(default_factory=dict)
    failures: dict[int, ItemFailure] = field(default_factory=dict)
    peers: "Peers | None" = None

    def put(self, result: Result) -> None:
        """Take what is new in a result; one without items ends all that are still open."""
        whole = result.items is None and result.failed is None
        if whole and result.state is not JobState.DONE and result.state in FINAL:
            why = ItemFailure(result.error or result.reason or result.state, result.error_type, result.traceback)
            self.failures |= {place: why for place in range(self.size) if not self.settled(place)}
        for place, value in (result.items or {}).items():
            if not self.settled(place):
                self.values[place] = value
        for place, failure in (result.failed or {}).items():
            if not self.settled(place):
                self.failures[place] = failure
        self.changed.set()

    def settled(self, place: int) -> bool:
        return place in self.values or place in self.failures

    @property
    def complete(self) -> bool:
        return len(self.values) + len(self.failures) >= self.size


AnySlot = Slot | ChunkSlot


class Peers:
    """All slots of one job; the second handle of a job must not take the result from the first."""

    def __init__(self) -> None:
        self._slots: list[weakref.ref[AnySlot]] = []

    def add(self, slot: AnySlot) -> None:
        """Add a slot, once."""
        self._slots = [weakref.ref(one) for one in {*self.living(), slot}]

    def living(self) -> list[AnySlot]:
        """Return the slots that somebody still holds."""
        return [slot for one in self._slots if (slot := one()) is not None]


class Inbox:
    """Slots by job id, held weakly: by what their slots hold."""

    def __init__(self) -> None:
        self._peers: weakref.WeakValueDictionary[str, Peers] = weakref.WeakValueDictionary()

    def expect(self, slot: AnySlot) -> None:
        """Have results of this slot's job put into it."""
        slot.peers = self._peers.setdefault(slot.job.id, Peers())
        slot.peers.add(slot)

    def expects(self, job_id: str | None) -> bool:
        """Whether anybody holds a slot for this job; other results need not even be decoded."""
        return job_id in self._peers

    def put(self, result: Result) -> None:
        """Hand a result to whoever holds a slot for it."""
        peers = self._peers.get(result.id)
        for slot in peers.living() if peers is not None else ():
            slot.put(result)
