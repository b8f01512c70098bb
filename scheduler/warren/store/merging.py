"""What is known of one job, and how two such knowledges become one.

Theory of operation. Facts of a job reach a recorder in any order: results, events and copies of messages come from
different connections, are told again after a crash, and a stream may be read twice. Whatever the order, the same row must
come out. So nothing here asks what came before. A fact is made into a `Record`, knowing little, and two records are *joined*;
`join` is commutative, associative and idempotent, hence the join of a set of facts depends on the set alone.

It is that because each group of a record is a value with a total order, of which the join takes one end:

- `first`, what the earliest message said (least run): arguments and names. A retry of a chunk has fewer items than the chunk.
- everything else belongs to a *life*: a replay begins another, and what is known of an earlier life is then dropped. It can
  never matter again, as lives only grow. Within one life the greatest of each group is kept, and the attempt is the first word
  of each: `standing` (attempt, stage, moment) decides between waiting and running, where a clock only decides within one attempt:
  started, given back to the queue, started again.
- `ended` beats everything else of its life, for nothing follows an end. When a job ran twice, the later attempt counts, and of
  one attempt with two ends the better. Two that tell of the same end complete each other, field by field.

Unknown is the least of each type (0, "", an infinite moment), so that knowing it beats not knowing it.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import astuple

from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, ItemsEnded, Progressed, Started

_Groups = dict[str, Any]
NONE = -1
"""Where a number may be absent."""
CUT = "…"
"""How a text begins that is too long to be kept whole; JSON never does."""
PAYLOAD_LENGTH, VALUE_LENGTH, TEXT_LENGTH = 8_192, 65_536, 8_192
_MOST_ATTEMPTS = 1 << 20
_MOST = (1 << 31) - 1
"""Numbers come from headers that anybody may have written, and a column has an end."""
_LENGTHS = {"id": 255, "task": 1_000, "queue": 255, "worker": 255, "outcome": 255}
"""In bytes: PostgreSQL refuses a row of an index that is longer than 2,704 of them."""


class First(msgspec.Struct, frozen=True, order=True, gc=False):
    """What the earliest message said; the least counts."""

    run: int
    enqueued_at: float
    task: str
    queue: str
    payload: str
    items: int
    priority: int
    workflow: str
    node: str


class Standing(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where it stands while it has not ended; stage 0 is its message, 1 what happens in the attempt, 2 the attempt's end."""

    attempt: int = 0
    stage: int = 0
    at: float = 0.0
    running: int = 0


class Run(msgspec.Struct, frozen=True, order=True, gc=False):
    """The start of its latest attempt, and by whom."""

    attempt: int = 0
    at: float = 0.0
    worker: str = ""


class Progress(msgspec.Struct, frozen=True, order=True, gc=False):
    """How far it said it was; `total` is `NONE` when it did not say of how many."""

    attempt: int = 0
    at: float = 0.0
    done: int = NONE
    total: int = NONE


class End(msgspec.Struct, frozen=True, order=True, gc=False):
    """How it ended; `rank` is of the state."""

    attempt: int
    rank: int
    at: float
    value: str
    reason: str
    error: str
    error_type: str
    traceback: str

    @property
    def state(self) -> JobState:
        return ENDS[self.rank]


ENDS = (JobState.CANCELLED, JobState.EXPIRED, JobState.DEAD, JobState.DONE)
"""The ends from the least to the greatest."""
_RANK = {state: rank for rank, state in enumerate(ENDS)}


class Record(msgspec.Struct, frozen=True, gc=False):
    """All that is known of one job.

    Attributes:
        named: task and queue as others than its message told them; empty as soon as a message did.
        heard_at: the earliest moment anybody spoke of, until a message says when it was enqueued.
        ready: the attempt whose message is the latest, and from when it may run.
        last_error: of which attempt's message, and what it says of the attempt before.
    """

    id: str
    named: tuple[str, str] = ("", "")
    heard_at: float = math.inf
    first: First | None = None
    life: int = 0
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    ready: tuple[int, float] = (0, 0.0)
    last_error: tuple[int, str] = (0, "")
    standing: Standing = Standing()
    started: Run = Run()
    progress: Progress = Progress()
    ended: End | None = None

    @property
    def task(self) -> str:
        return self.first.task if self.first else self.named[0]

    @property
    def queue(self) -> str:
        return self.first.queue if self.first else self.named[1]

    @property
    def enqueued_at(self) -> float:
        return self.first.enqueued_at if self.first else self.heard_at

    def state(self, now: float) -> JobState:
        """Return where the job is; only the time of a delay passes without a fact."""
        if self.ended is not None:
            return self.ended.state
        if self.standing.running:
            return JobState.RUNNING
        attempt, at = self.ready
        # A first message that is not delayed is ready as it is enqueued, by the clock of its producer, which may be ahead.
        return JobState.DELAYED if at > now and (attempt > 1 or at > self.enqueued_at) else JobState.QUEUED


def join(one: Record, other: Record) -> Record:
    """Return what both know together; of the same job."""
    late, early = (one, other) if one.life >= other.life else (other, one)
    first = min(one.first, other.first) if one.first and other.first else one.first or other.first
    named = ("", "") if first else max(one.named, other.named)
    heard_at = math.inf if first else min(one.heard_at, other.heard_at)
    if late.life > early.life:
        return msgspec.structs.replace(late, first=first, named=named, heard_at=heard_at)
    return Record(
        one.id,
        named,
        heard_at,
        first,
        late.life,
        max(one.attempt, other.attempt),
        max(one.failures, other.failures),
        max(one.crashes, other.crashes),
        max(one.ready, other.ready),
        max(one.last_error, other.last_error),
        max(one.standing, other.standing),
        max(one.started, other.started),
        max(one.progress, other.progress),
        _join_ends(one.ended, other.ended),
    )


def _join_ends(one: End | None, other: End | None) -> End | None:
    if one is None or other is None:
        return one or other
    if (one.attempt, one.rank) != (other.attempt, other.rank):
        return max(one, other)
    said = zip(astuple(one)[3:], astuple(other)[3:], strict=True)
    return End(one.attempt, one.rank, min(one.at, other.at), *(max(mine, theirs) for mine, theirs in said))


def of(fact: Fact) -> Record:
    """Return what one fact tells of its job."""
    job_id, life, attempt = short(fact.id, "id"), min(fact.replays, _MOST), min(fact.attempt, _MOST_ATTEMPTS - 1)
    if isinstance(fact, Enqueued):
        return _of_message(fact, job_id, life, attempt)
    named = short(fact.task, "task"), short(fact.queue, "queue")
    return Record(job_id, named, fact.at, life=life, attempt=attempt, **_GROUPS[type(fact)](fact, attempt))


def _of_message(fact: Enqueued, job_id: str, life: int, attempt: int) -> Record:
    first = First(
        life * _MOST_ATTEMPTS + attempt,
        fact.enqueued_at,
        short(fact.task, "task"),
        short(fact.queue, "queue"),
        cut(fact.payload, PAYLOAD_LENGTH),
        _within(fact.items),
        _within(fact.priority),
        short(fact.workflow, "id"),
        short(fact.node, "id"),
    )
    return Record(
        job_id,
        first=first,
        life=life,
        attempt=attempt,
        failures=_within(fact.failures),
        crashes=_within(fact.crashes),
        ready=(attempt, fact.ready_at),
        last_error=(attempt, text(fact.last_error)),
        standing=Standing(attempt),
    )


def _of_start(fact: Started, attempt: int) -> _Groups:
    started = Run(attempt, fact.at, short(fact.worker, "worker"))
    return {"standing": Standing(attempt, 1, fact.at, 1), "started": started}


def _of_end(fact: Ended, attempt: int) -> _Groups:
    return {
        "started": Run(attempt, fact.started_at or 0.0, short(fact.worker, "worker")),
        "ended": _end(fact, attempt),
    }


def _of_progress(fact: Progressed, attempt: int) -> _Groups:
    progress = Progress(attempt, fact.at, _within(fact.done), _within(fact.total))
    return {"standing": Standing(attempt, 1, fact.at, 1), "progress": progress}


def _of_return(fact: GivenBack, attempt: int) -> _Groups:
    return {"standing": Standing(attempt, 1, fact.at, 0), "crashes": _within(fact.crashes)}


def _of_attempt(fact: AttemptEnded, attempt: int) -> _Groups:
    return {
        "standing": Standing(attempt, 2, fact.at, 0),
        "started": Run(attempt, fact.started_at or 0.0, short(fact.worker, "worker")),
        "last_error": (attempt + 1, text(fact.error)),
        "ready": (attempt + 1, fact.ready_at) if fact.ready_at else (0, 0.0),
    }


def _of_items(fact: ItemsEnded, attempt: int) -> _Groups:
    return {"standing": Standing(attempt, 1, fact.at, 1)}


_GROUPS: dict[type[Fact], Callable[[Any, int], _Groups]] = {
    Started: _of_start,
    Ended: _of_end,
    Progressed: _of_progress,
    GivenBack: _of_return,
    AttemptEnded: _of_attempt,
    ItemsEnded: _of_items,
}


def _end(fact: Ended, attempt: int) -> End:
    value = "" if fact.value is None else fact.value
    if len(value) > VALUE_LENGTH:
        value = f"{CUT}{len(value)}"
    told = text(fact.reason), text(fact.error), text(fact.error_type), text(fact.traceback)
    return End(attempt, _RANK[fact.state], fact.at, storable(value), *told)


def _within(number: int | None) -> int:
    return NONE if number is None else max(NONE, min(number, _MOST))


def short(said: str, what: str) -> str:
    """Return a name that fits into its column and its index, whoever made it up."""
    kept = said[: _LENGTHS[what]]
    if kept.isascii() and "\0" not in kept:
        return kept
    return storable(kept).encode()[: _LENGTHS[what]].decode(errors="ignore")


def text(said: str) -> str:
    """Return as much of a text as is kept: of an error the beginning and the end tell most."""
    if not said:
        return said
    if len(said) > TEXT_LENGTH:
        half = TEXT_LENGTH // 2
        said = f"{said[:half]}\n{CUT}\n{said[-half:]}"
    return storable(said)


def cut(said: str, length: int) -> str:
    """Return a text, or as much of it as is kept, with a mark before it; what was cut already stays as it is."""
    is_cut = said.startswith(CUT) and len(said) == len(CUT) + length
    return storable(said if len(said) <= length or is_cut else CUT + said[:length])


def storable(said: str) -> str:
    """Return a text that every database takes: no NUL, which PostgreSQL refuses, and no half of a surrogate pair."""
    if said.isascii() and "\0" not in said:
        return said
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
