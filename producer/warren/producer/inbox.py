"""Who waits for which result. Results are put on the producer's event loop; who enqueues may expect them in any thread."""

import asyncio
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec

from warren.job import Body, Job
from warren.result import ItemFailure, Result
from warren.states import FINAL, JobState
from warren.workflow.graph import Definition
from warren.workflow.jobs import Report

V = TypeVar("V")


class Known(Protocol):
    """What waiting for a job needs to know of it."""

    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def reply_to(self) -> str | None: ...
    @property
    def wants_result(self) -> bool: ...
    @property
    def enqueued_at(self) -> float: ...
    @property
    def ready_at(self) -> float: ...


@dataclass(eq=False, slots=True, weakref_slot=True)
class Slot:
    """The place where one job's result will lie; held by its handle, so results nobody can ask for are dropped."""

    job: Known
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
    """The place where one chunk's results collect, by place in the chunk; they may come in parts and twice.

    Attributes:
        changed: shared by all chunks of a map.
        packed: all values in order as one JSON array, once each item has one: it takes a tenth of the memory.
    """

    job: Known
    size: int
    changed: asyncio.Event
    values: dict[int, msgspec.Raw] = field(default_factory=dict)
    failures: dict[int, ItemFailure] = field(default_factory=dict)
    packed: bytes | None = None
    peers: "Peers | None" = None

    def put(self, result: Result) -> None:
        """Take what is new in a result; one without items ends all that are still open."""
        if self.packed is None:
            self._take(result)
            if len(self.values) == self.size and not self.failures:
                self._pack()
        self.changed.set()

    @property
    def settled(self) -> int:
        """Items that have a value or a failure."""
        return len(self.values) + len(self.failures) if self.packed is None else self.size

    @property
    def complete(self) -> bool:
        return self.settled >= self.size

    def _take(self, result: Result) -> None:
        whole = result.items is None and result.failed is None
        if whole and result.state is not JobState.DONE and result.state in FINAL:
            why = ItemFailure(result.error or result.reason or result.state, result.error_type, result.traceback)
            self._fail(dict.fromkeys(range(self.size), why))
        if result.items:
            self.values = self._new(result.items, self.failures) | self.values
        if result.failed:
            self._fail(result.failed)

    def _fail(self, failures: Mapping[int, ItemFailure]) -> None:
        self.failures = self._new(failures, self.values) | self.failures

    def _new(self, found: Mapping[int, V], known: Mapping[int, object]) -> dict[int, V]:
        """What is found, less what is known already; anybody writes messages, also of places that there are not."""
        if not known and min(found) >= 0 and max(found) < self.size:
            return dict(found)
        return {place: one for place, one in found.items() if place not in known and 0 <= place < self.size}

    def _pack(self) -> None:
        """Nothing can come any more that counts."""
        self.packed = b"[%b]" % b",".join(map(self.values.__getitem__, range(self.size)))
        self.values = {}


@dataclass(eq=False, slots=True, weakref_slot=True)
class WorkflowSlot:
    """The place where a workflow's result will lie, and how far it has come.

    Attributes:
        progress: what has ended, and how much there is.
    """

    workflow: Definition
    task: str
    total: int
    result_type: Any = Any
    result: Result | None = None
    progress: tuple[int, int] = field(init=False)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    peers: "Peers | None" = None

    def __post_init__(self) -> None:
        self.progress = 0, self.total

    @property
    def job(self) -> Job:
        """What waiting needs to know of it."""
        workflow = self.workflow
        at, body = workflow.created_at, Body(self.task)
        return Job(workflow.id, body, "", enqueued_at=at, ready_at=at, reply_to=workflow.reply_to)

    def put(self, result: Result) -> None:
        """Take a result; one that is not final says how far the workflow is."""
        if self.result is not None:
            return
        if result.state in FINAL:
            self.result = result
        with suppress(msgspec.MsgspecError):
            report = msgspec.json.decode(result.value, type=Report) if result.state is not JobState.DONE else None
            self.progress = (report.settled, report.total) if report else (self.progress[1],) * 2
        self.changed.set()

    @property
    def complete(self) -> bool:
        return self.result is not None


AnySlot = Slot | ChunkSlot | WorkflowSlot


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

    def slots_of(self, job_id: str) -> list[AnySlot]:
        """Return the slots that somebody holds for a job."""
        peers = self._peers.get(job_id)
        return peers.living() if peers is not None else []

    def put(self, result: Result) -> None:
        """Hand a result to whoever holds a slot for it."""
        for slot in self.slots_of(result.id):
            slot.put(result)
