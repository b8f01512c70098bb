"""What can be asked of the history: a page of jobs by any filters, one job, how many there are.

No question takes longer the more jobs there are. States, tasks and queues are kinds (`warren.store.tables_history`): of each kind that
is asked for, the newest few are found by one step into an index, and the newest of these are the page. Texts have an
index of their own (`warren.store.finding`).
"""
# ruff: noqa: S608 - names of tables and columns are ours, every value is a parameter

import fnmatch
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from warren.errors import UsageError
from warren.states import JobState
from warren.store import finding
from warren.store.bulk import Bulk
from warren.store.history import key, known_jobs
from warren.store.kinds import Kind, all_kinds
from warren.store.merging import Record
from warren.store.searching import SHORTEST
from warren.store.tables_history import attempts, dropped, items, jobs

MOST = 1_000
"""Jobs on one page."""
_MOST_SEQ = (1 << 63) - 1
MANY, GLANCE = 40, 2_000
"""Kinds that are more than a few steps; how many of the newest jobs are looked at first then."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; what is empty means all.

    Attributes:
        states: any of them.
        task: its name; `*` and `?` stand for any characters and for any one.
        queue: likewise.
        text: in the arguments or the error, upper and lower case alike; three characters at least.
        since: enqueued then or later.
        until: enqueued before.
        workflow: its id.
    """

    states: frozenset[JobState] = frozenset()
    task: str = ""
    queue: str = ""
    text: str = ""
    since: float | None = None
    until: float | None = None
    workflow: str = ""

    def __post_init__(self) -> None:
        for what, said in (
            ("task", self.task),
            ("queue", self.queue),
            ("text", self.text),
            ("workflow", self.workflow),
        ):
            _refuse_broken(what, said)
        if 0 < len(self.text) < SHORTEST:
            raise UsageError(
                f"the text {self.text!r} is too short to be looked for: take at least {SHORTEST} characters"
            )


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends, and the next one goes on."""

    at: float
    seq: int

    def __str__(self) -> str:
        return f"{self.at!r}~{self.seq}"

    @classmethod
    def read(cls, said: str) -> "Cursor":
        """Read what `str` made of a cursor.

        Raises:
            UsageError: it did not.
        """
        at, _, seq = said.partition("~")
        with suppress(ValueError):
            cursor = cls(float(at), int(seq))
            if math.isfinite(cursor.at) and 0 <= cursor.seq <= _MOST_SEQ:
                return cursor
        raise UsageError(f"{said[:100]!r} is not the end of a page; take `next` of the page before")


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs from the newest on; `next` is None on the last page."""

    jobs: tuple[Record, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of a job's attempts that was not its last, or was no success."""

    life: int
    attempt: int
    started_at: float | None
    ended_at: float
    outcome: str
    worker: str
    error: str


@dataclass(frozen=True, slots=True)
class Whole:
    """All that is known of a job; of a chunk, `items` and `failed` by place; `has_gaps` when some were too long to be kept."""

    record: Record
    attempts: tuple[Attempt, ...]
    items: dict[int, msgspec.Raw] = field(default_factory=dict)
    failed: dict[int, dict[str, str]] = field(default_factory=dict)
    has_gaps: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """There was such a job; the retention has dropped it, then."""

    at: float


def page(connection: Connection, wanted: Filter, now: float, *, limit: int = 50, after: Cursor | None = None) -> Page:
    """Return the newest jobs of a filter; with `after`, those that follow that page."""
    limit = max(1, min(limit, MOST))
    bulk = Bulk(connection)
    bulk.walk_indexes()
    kinds = matching(connection, wanted)
    if kinds is not None and not kinds:
        return Page((), None)
    if wanted.text:
        found = finding.find(bulk, _sought(wanted, kinds, now), limit + 1, after.seq if after else None)
    else:
        found = _newest(bulk, _Walk(wanted, now, limit + 1, after), kinds)
    shown = found[:limit]
    records = _records(bulk, [seq for _, seq in shown])
    more = Cursor(*shown[-1]) if len(found) > limit else None
    return Page(tuple(records[seq] for _, seq in shown if seq in records), more)


def matching(connection: Connection, wanted: Filter) -> list[Kind] | None:
    """Return the kinds that a filter means; None for all."""
    if not (wanted.states or wanted.task or wanted.queue):
        return None
    states = set(wanted.states)
    if JobState.QUEUED in states:
        states.add(JobState.DELAYED)  # the delay may be over
    return [
        kind
        for kind in all_kinds(connection)
        if kind.jobs
        and (not states or kind.state in states)
        and (not wanted.task or fnmatch.fnmatchcase(kind.task, wanted.task))
        and (not wanted.queue or fnmatch.fnmatchcase(kind.queue, wanted.queue))
    ]


def count(connection: Connection, now: float) -> dict[JobState, int]:
    """Return how many jobs there are in each state."""
    found: Counter[JobState] = Counter()
    for kind in all_kinds(connection):
        found[kind.state] += kind.jobs
    statement = "SELECT count(*) FROM warren_jobs WHERE delayed = 1 AND ready_at <= "
    ripe = connection.exec_driver_sql(f"{statement}{float(now)!r}").scalar_one()
    found[JobState.DELAYED] -= ripe
    found[JobState.QUEUED] += ripe
    return {state: found[state] for state in JobState}


def one(connection: Connection, job_id: str) -> Whole | Dropped | None:
    """Return all that is known of a job; None for one that was never heard of.

    Raises:
        UsageError: the id is no text.
    """
    _refuse_broken("id", job_id)
    known = known_jobs(Bulk(connection), [job_id]).get(job_id)
    if known is None:
        at = connection.execute(select(dropped.c.at).where(dropped.c.id == key(job_id))).scalar_one_or_none()
        return None if at is None else Dropped(at)
    told = connection.execute(select(attempts).where(attempts.c.job == job_id).order_by(*attempts.primary_key))
    before = tuple(
        Attempt(row.life, row.attempt, row.started_at, row.ended_at, row.outcome, row.worker, row.error) for row in told
    )
    return Whole(known.record, before, *_items(connection, job_id))


def _refuse_broken(what: str, said: str) -> None:
    """Refuse bytes that are no UTF-8: in arguments of a command they come as halves of surrogate pairs, which no database takes."""
    try:
        said.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the {what} {said[:100]!r} is no text: it has bytes that are not UTF-8") from None


def _items(connection: Connection, job_id: str) -> tuple[dict[int, msgspec.Raw], dict[int, dict[str, str]], bool]:
    """Return what became of a chunk's items: of one that was tried again the last, and a value rather than a failure."""
    values: dict[int, msgspec.Raw] = {}
    failed: dict[int, dict[str, str]] = {}
    has_gaps = False
    parts = select(items.c.content).where(items.c.job == job_id).order_by(items.c.run, items.c.digest)
    for content in connection.execute(parts).scalars():
        if content is None:
            has_gaps = True
            continue
        part = msgspec.json.decode(content, type=_Part)
        values |= part.items
        failed |= part.failed
    return dict(sorted(values.items())), {at: why for at, why in sorted(failed.items()) if at not in values}, has_gaps


class _Part(msgspec.Struct):
    items: dict[int, msgspec.Raw] = {}
    failed: dict[int, dict[str, str]] = {}


# --- the newest ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Walk:
    """From where on how many jobs are wanted, and which."""

    wanted: Filter
    now: float
    limit: int
    after: Cursor | None


def _newest(bulk: Bulk, walk: _Walk, kinds: list[Kind] | None) -> list[tuple[float, int]]:
    """Return moment and number of the newest jobs of these kinds, by a step into an index for each."""
    if kinds is None and walk.wanted.workflow:
        kinds = [kind for kind in all_kinds(bulk.connection) if kind.jobs]
    where, values = _bounds(bulk, walk.wanted, walk.after)
    if kinds is None:
        return _steps(bulk, [f"WHERE {where or 'TRUE'}"], values, walk.limit)
    steps = [(kind.id, _waits(kind, walk)) for kind in kinds]
    if len(steps) > MANY and not any(waits for _, waits in steps):
        near = _glance(bulk, walk, [kind for kind, _ in steps])
        if len(near) >= walk.limit:
            return near[: walk.limit]
    if not bulk.is_sqlite:
        return _steps_postgres(bulk, steps, where, values, walk.limit)
    by_kind = "ix_warren_jobs_workflow" if walk.wanted.workflow else "ix_warren_jobs_kind"
    conditions = [
        # SQLite is told the index: it might walk along all jobs to find the few whose delay is over.
        (by_kind if not waits.startswith("delayed") else "ix_warren_jobs_delayed")
        + " WHERE "
        + " AND ".join(filter(None, (f"kind = {kind}", waits, where)))
        for kind, waits in steps
    ]
    return _steps(bulk, [f"INDEXED BY {condition}" for condition in conditions], values, walk.limit)


def _glance(bulk: Bulk, walk: _Walk, kinds: Sequence[int]) -> list[tuple[float, int]]:
    """Return those of these kinds among the newest jobs of all: where many kinds fit, they mostly are enough."""
    where, values = _bounds(bulk, replace(walk.wanted, workflow=""), walk.after)
    workflow = f" AND workflow = {bulk.mark}" if walk.wanted.workflow else ""
    statement = (
        f"SELECT enqueued_at, seq FROM (SELECT enqueued_at, seq, kind, workflow FROM warren_jobs WHERE {where or 'TRUE'} "
        f"ORDER BY enqueued_at DESC, seq DESC LIMIT {GLANCE}) n WHERE kind IN ({', '.join(map(str, kinds))}){workflow}"
    )
    its = (walk.wanted.workflow,) if workflow else ()
    return sorted(((at, seq) for at, seq in bulk.fetch(statement, (*values, *its))), reverse=True)


def _bounds(bulk: Bulk, wanted: Filter, after: Cursor | None) -> tuple[str, tuple[Any, ...]]:
    mark = bulk.mark
    bounds: list[str] = []
    values: list[Any] = []
    for condition, value in (
        (f"workflow = {mark}", wanted.workflow or None),
        (f"enqueued_at >= {mark}", wanted.since),
        (f"enqueued_at < {mark}", wanted.until),
    ):
        if value is not None:
            bounds.append(condition)
            values.append(value)
    if after is not None:
        bounds.append(f"(enqueued_at, seq) < ({mark}, {mark})")
        values += [after.at, after.seq]
    return " AND ".join(bounds), tuple(values)


def _waits(kind: Kind, walk: _Walk) -> str:
    """Return the condition that tells queued jobs from delayed ones; the kind is told again a moment after the delay is over."""
    both = {JobState.QUEUED, JobState.DELAYED}
    asked = both & walk.wanted.states
    if kind.state != JobState.DELAYED or asked in (set(), both):
        return ""
    return f"delayed = 1 AND ready_at <= {walk.now!r}" if asked == {JobState.QUEUED} else f"ready_at > {walk.now!r}"


def _steps(bulk: Bulk, conditions: Sequence[str], values: tuple[Any, ...], limit: int) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = []
    for where in conditions:
        statement = (
            f"SELECT enqueued_at, seq FROM warren_jobs {where} ORDER BY enqueued_at DESC, seq DESC LIMIT {limit}"
        )
        found += [(at, seq) for at, seq in bulk.fetch(statement, values)]
    return sorted(found, reverse=True)[:limit]


def _steps_postgres(
    bulk: Bulk, steps: Sequence[tuple[int, str]], where: str, values: tuple[Any, ...], limit: int
) -> list[tuple[float, int]]:
    """All steps in one statement: each would be a journey to the server."""
    found: list[tuple[float, int]] = []
    for waits in {waits for _, waits in steps}:
        ids = [kind for kind, its in steps if its == waits]
        if waits.startswith("delayed"):  # few, and found by the end of their delay: in no order of theirs
            conditions = " AND ".join(filter(None, ("kind = ANY(%s::bigint[])", waits, where)))
            order = f"ORDER BY enqueued_at + 0 DESC, seq DESC LIMIT {limit}"
            ripe = bulk.fetch(f"SELECT enqueued_at, seq FROM warren_jobs WHERE {conditions} {order}", (ids, *values))
            found += [(at, seq) for at, seq in ripe]
            continue
        conditions = " AND ".join(filter(None, ("kind = k.id", waits, where)))
        statement = (
            "SELECT j.enqueued_at, j.seq FROM unnest(%s::bigint[]) AS k(id) CROSS JOIN LATERAL (SELECT enqueued_at, seq "
            f"FROM warren_jobs WHERE {conditions} ORDER BY enqueued_at DESC, seq DESC LIMIT {limit}) j"
        )
        found += [(at, seq) for at, seq in bulk.fetch(statement, (ids, *values))]
    return sorted(found, reverse=True)[:limit]


def _sought(wanted: Filter, kinds: list[Kind] | None, now: float) -> finding.Sought:
    asked = {JobState.QUEUED, JobState.DELAYED} & wanted.states
    waits = ""
    if len(asked) == 1:
        delayed = ", ".join(str(kind.id) for kind in kinds or () if kind.state == JobState.DELAYED)
        sign = "<=" if asked == {JobState.QUEUED} else ">"
        waits = f"(j.kind NOT IN ({delayed}) OR j.ready_at {sign} {now!r})" if delayed else ""
    its = None if kinds is None else tuple(kinds)
    return finding.Sought(wanted.text, its, wanted.since, wanted.until, wanted.workflow, waits)


def _records(bulk: Bulk, numbers: Sequence[int]) -> dict[int, Record]:
    ids = [str(job_id) for (job_id,) in bulk.select_in(f"SELECT id FROM {jobs.name} WHERE seq", numbers)]
    known = known_jobs(bulk, ids)
    return {job.seq: job.record for job in known.values()}
