"""What a recorder knows of jobs, as values: each is true for ever, so they may come late, twice and in any order.

A job is told by three numbers where it stands: `replays`, its life (an operator's replay of a dead letter begins another);
`attempt`, its execution in that life; and the moment. Whoever makes facts fills in both numbers wherever a message says
them; 0 attempts stands for "not told", as in the result of a job that was cancelled before anybody had it.

Times are seconds since the epoch, by the clock of whoever tells. Values and arguments are JSON text. A fact is part of no cycle,
so it is none of the garbage collector's business: with many thousands of them it would go through all again and again.
"""

import msgspec

from warren.result import ItemFailure
from warren.states import FINAL, JobState


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """A job's message was routed, to its queue or into the delay: its first, the next attempt's, or a replay's.

    Attributes:
        payload: `{"args": […], "kwargs": {…}}`, of the job without its items.
        items: how many a chunk has, None for a job that is none.
        last_error: what the attempt before came to.
    """

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    enqueued_at: float
    ready_at: float
    payload: str = ""
    items: int | None = None
    priority: int | None = None
    failures: int = 0
    crashes: int = 0
    last_error: str = ""
    workflow: str = ""
    node: str = ""


class Started(msgspec.Struct, frozen=True, gc=False):
    """A worker began an attempt."""

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    worker: str


class Progressed(msgspec.Struct, frozen=True, gc=False):
    """A running job said how far it is."""

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    done: int
    total: int | None = None


class GivenBack(msgspec.Struct, frozen=True, gc=False):
    """A running attempt went back to its queue: `interrupted` by a worker that stops, or `lost` with its worker."""

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    worker: str
    why: str = "interrupted"
    crashes: int = 0


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """An attempt ended and another follows (`outcome` is `retry` or `crashed`), at `ready_at` if that is known."""

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    worker: str
    outcome: str
    error: str = ""
    started_at: float | None = None
    ready_at: float | None = None


class ItemsEnded(msgspec.Struct, frozen=True, gc=False):
    """Part of a chunk is over, by place; the values are JSON."""

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    items: dict[int, msgspec.Raw]
    failed: dict[int, ItemFailure] = {}


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A job is over in this life: its result, an event that says so where none is published, or a dead letter.

    Attributes:
        value: JSON text of what it returned; None where whoever tells does not know it.
        reason: of a dead letter, or of a cancellation.
        started_at: of the last attempt, where whoever tells knows it.
        items: of a chunk, what is new at its end, by place.
    """

    id: str
    task: str
    queue: str
    replays: int
    attempt: int
    at: float
    state: JobState
    worker: str = ""
    value: str | None = None
    reason: str = ""
    error: str = ""
    error_type: str = ""
    traceback: str = ""
    started_at: float | None = None
    items: dict[int, msgspec.Raw] = {}
    failed: dict[int, ItemFailure] = {}

    def __post_init__(self) -> None:
        if self.state not in FINAL:
            raise ValueError(f"a job does not end {self.state.value!r}")


Fact = Enqueued | Started | Progressed | GivenBack | AttemptEnded | ItemsEnded | Ended
