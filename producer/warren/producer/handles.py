"""What enqueuing gives back: the job's id for life, and a way to wait for what becomes of it."""

import time
import types
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from warren.codec import NotDecodable, decode
from warren.errors import JobFailed, MapFailed
from warren.producer.cancelling import ANSWER_SECONDS, REASON, Cancellation
from warren.producer.core import check_waitable, rebuilt, value_of
from warren.producer.inbox import AnySlot, ChunkSlot, Slot

R_co = TypeVar("R_co", covariant=True)
Progress = Callable[[int, int, int], None]
"""Called with items settled, items in all, items failed for good."""


class Waits(Protocol):
    """How a handle waits: the producer's own way to its event loop."""

    def __call__(self, slot: AnySlot, seconds: float | None, /) -> None: ...


class WaitsAsync(Protocol):
    """As `Waits`, awaited."""

    def __call__(self, slot: AnySlot, seconds: float | None, /) -> Awaitable[None]: ...


class Cancels(Protocol):
    """How a handle cancels: the producer's own way to its event loop."""

    def __call__(self, slots: Sequence[AnySlot], seconds: float, reason: str, /) -> dict[str, Cancellation]: ...


class CancelsAsync(Protocol):
    """As `Cancels`, awaited."""

    def __call__(
        self, slots: Sequence[AnySlot], seconds: float, reason: str, /
    ) -> Awaitable[dict[str, Cancellation]]: ...


class Handle(Generic[R_co]):
    """One enqueued job.

    Attributes:
        id: the job's, a UUIDv7; what `warren result` and `producer.handle` take.
        due: when it is or was first ready to run, seconds since the epoch; 0 for a job enqueued elsewhere.
    """

    def __init__(self, slot: Slot, wait: Waits, cancel: Cancels) -> None:
        self.id = slot.job.id
        self.due = slot.job.ready_at
        self._slot = slot
        self._wait = wait
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"<handle of job {self.id}>"

    def result(self, timeout: float | None = None) -> R_co:
        """Wait for the job to end and return what it returned.

        Args:
            timeout: seconds; None waits for ever. The job itself is never touched by it.

        Raises:
            ResultTimeout: not yet.
            JobFailed, JobCancelled, JobExpired: it will not return.
            NoResult: its task publishes none.
        """
        check_waitable(self._slot.job)
        if self._slot.result is None:
            self._wait(self._slot, timeout)
        return _value(self._slot)  # type: ignore[no-any-return]

    def cancel(self, timeout: float = ANSWER_SECONDS, *, reason: str = REASON) -> Cancellation:
        """Cancel the job, wherever it is: it will not run (again), and if it runs it is told to end.

        Args:
            timeout: seconds for the workers to answer; the cancellation stands whether or not they do.
            reason: for whoever waits for the result.

        Raises:
            PublishError: the broker did not take it.
        """
        return self._cancel([self._slot], timeout, reason)[self.id]


class AsyncHandle(Generic[R_co]):
    """One enqueued job; as `Handle`, awaited."""

    def __init__(self, slot: Slot, wait: WaitsAsync, cancel: CancelsAsync) -> None:
        self.id = slot.job.id
        self.due = slot.job.ready_at
        self._slot = slot
        self._wait = wait
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"<handle of job {self.id}>"

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for the job to end and return what it returned; see `Handle.result`."""
        check_waitable(self._slot.job)
        if self._slot.result is None:
            await self._wait(self._slot, timeout)
        return _value(self._slot)  # type: ignore[no-any-return]

    async def cancel(self, timeout: float = ANSWER_SECONDS, *, reason: str = REASON) -> Cancellation:
        """Cancel the job, wherever it is; see `Handle.cancel`."""
        return (await self._cancel([self._slot], timeout, reason))[self.id]


class MapState:
    """What is known of a map: pure, shared by both kinds of handle."""

    def __init__(self, slots: list[ChunkSlot], result_type: Any) -> None:
        self.slots = slots
        self.total = sum(slot.size for slot in slots)
        self._type = result_type
        self._complete = 0
        """So many chunks from the first on are: of ten thousand, not all are looked at again whenever one has changed."""

    @property
    def failed(self) -> int:
        return sum(len(slot.failures) for slot in self.slots)

    @property
    def done(self) -> int:
        """Items settled, the failed ones included."""
        return sum(slot.settled for slot in self.slots)

    def open_slot(self) -> ChunkSlot | None:
        """Return a chunk that is not complete."""
        while self._complete < len(self.slots) and self.slots[self._complete].complete:
            self._complete += 1
        return self.slots[self._complete] if self._complete < len(self.slots) else None

    def collect(self) -> list[Any]:
        """Return all values in order.

        Raises:
            MapFailed: some items have none.
        """
        values: list[Any] = []
        failed: dict[int, str] = {}
        for slot in self.slots:
            at_once = self._at_once(slot)
            if at_once is not None:
                values += at_once
                continue
            for place, value in enumerate(_unpacked(slot)):
                values.append(self._value(slot, place, value, failed, len(values)))
        if failed:
            raise MapFailed(failed, values)
        return values

    def _at_once(self, slot: ChunkSlot) -> list[Any] | None:
        """All values of a chunk, if each item has one that fits; else they are looked at one by one."""
        if slot.packed is None:
            return None
        try:
            return decode(slot.packed, types.GenericAlias(list, (self._type,)))
        except NotDecodable:
            return None

    def _value(
        self, slot: ChunkSlot, place: int, value: msgspec.Raw | None, failed: dict[int, str], position: int
    ) -> Any:
        if value is None:
            failure = slot.failures[place]
            failed[position] = f"{failure.error_type}: {failure.error}" if failure.error_type else failure.error
            return None
        try:
            return rebuilt(slot.job.id, value, self._type)
        except JobFailed as error:
            failed[position] = error.error
            return None


def _unpacked(slot: ChunkSlot) -> Sequence[msgspec.Raw | None]:
    if slot.packed is not None:
        return msgspec.json.decode(slot.packed, type=list[msgspec.Raw])
    return [slot.values.get(place) for place in range(slot.size)]


class MapHandle(Generic[R_co]):
    """A map: one task over many items, in chunks.

    Attributes:
        ids: of the chunks' jobs.
    """

    def __init__(self, state: MapState, wait: Waits, cancel: Cancels) -> None:
        self.ids = tuple(slot.job.id for slot in state.slots)
        self._state = state
        self._wait = wait
        self._cancel = cancel

    @property
    def progress(self) -> tuple[int, int]:
        """Items settled, and items in all."""
        return self._state.done, self._state.total

    def results(self, timeout: float | None = None, *, on_progress: Progress | None = None) -> list[R_co]:
        """Wait for every item and return their results in the order of the items.

        Args:
            timeout: seconds; None waits for ever. The jobs themselves are never touched by it.
            on_progress: told whenever items were settled.

        Raises:
            MapFailed: some items failed for good; it holds their errors and the others' results.
            ResultTimeout: not all yet; it may be asked again.
        """
        ends = _end(timeout)
        while (slot := self._state.open_slot()) is not None:
            self._wait(slot, _left(ends))
            _tell(self._state, on_progress)
        return self._state.collect()

    def cancel(self, timeout: float = ANSWER_SECONDS, *, reason: str = REASON) -> dict[str, Cancellation]:
        """Cancel all chunks, and return what became of each by its id; items that are done keep their results.

        Args:
            timeout: seconds for the workers to answer; the cancellation stands whether or not they do.
            reason: for whoever waits for the results.

        Raises:
            PublishError: the broker did not take it.
        """
        return self._cancel(self._state.slots, timeout, reason)


class AsyncMapHandle(Generic[R_co]):
    """A map; as `MapHandle`, awaited."""

    def __init__(self, state: MapState, wait: WaitsAsync, cancel: CancelsAsync) -> None:
        self.ids = tuple(slot.job.id for slot in state.slots)
        self._state = state
        self._wait = wait
        self._cancel = cancel

    @property
    def progress(self) -> tuple[int, int]:
        """Items settled, and items in all."""
        return self._state.done, self._state.total

    async def results(
        self,
        timeout: float | None = None,
        *,
        on_progress: Progress | None = None,
    ) -> list[R_co]:
        """Wait for every item and return their results in the order of the items; see `MapHandle.results`."""
        ends = _end(timeout)
        while (slot := self._state.open_slot()) is not None:
            await self._wait(slot, _left(ends))
            _tell(self._state, on_progress)
        return self._state.collect()

    async def cancel(self, timeout: float = ANSWER_SECONDS, *, reason: str = REASON) -> dict[str, Cancellation]:
        """Cancel all chunks, and return what became of each by its id; see `MapHandle.cancel`."""
        return await self._cancel(self._state.slots, timeout, reason)


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(0.0, ends - time.monotonic())


def _tell(state: MapState, on_progress: Progress | None) -> None:
    if on_progress is not None:
        on_progress(state.done, state.total, state.failed)


def _value(slot: Slot) -> Any:
    assert slot.result is not None
    return value_of(slot.job, slot.result, slot.result_type)
