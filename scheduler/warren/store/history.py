"""The history of jobs: facts are recorded in batches, one transaction each, together with how far their stream was read.

What is in the store of a job is read, joined with what the facts say (`warren.store.merging`), and written. Between the two
nobody else may write: SQLite's write transaction sees to that by itself, in PostgreSQL a lock of the transaction does.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from warren.states import JobState
from warren.store import rows
from warren.store.bulk import Bulk
from warren.store.gathering import Gathered, Row
from warren.store.kinds import Kinds
from warren.store.merging import Record, join
from warren.store.searching import (
    ARGUMENTS,
    BOTH,
    ERROR_MISSING,
    NOTHING,
    Document,
    expect,
    expect_again,
    expected,
    forget,
    words,
)
from warren.store.tables_history import attempts, dropped, items, jobs


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch came to: jobs that were new, jobs of which something new is known."""

    new: int
    changed: int


@dataclass(frozen=True, slots=True)
class Known:
    """A job that is in the store."""

    seq: int
    kind: int
    delayed: int
    record: Record


_COLUMNS = ("id", "kind", "delayed", *rows.COLUMNS)


@dataclass(frozen=True, slots=True)
class _Changes:
    """What changes in the store.

    Attributes:
        new: rows.
        changed: rows, by what changes in them.
        stale: documents that the index of texts shall have no more.
        late: jobs whose texts are to be indexed again, and what of them still is.
    """

    new: list[Row] = field(default_factory=list)
    changed: dict[tuple[tuple[str, ...], tuple[rows.Group, ...]], list[Row]] = field(default_factory=dict)
    stale: list[Document] = field(default_factory=list)
    late: list[tuple[int, int]] = field(default_factory=list)


def record(connection: Connection, gathered: Gathered, now: float) -> Recorded:
    """Record what facts tell, in any order and however often each is told.

    Args:
        connection: of a write transaction.
        gathered: of any jobs.
        now: decides only whether a job that waits is told as delayed or queued until somebody looks again.
    """
    bulk = Bulk(connection)
    bulk.lock("history")
    gone = _gone(bulk, connection, gathered.records)
    told = {job_id: one for job_id, one in gathered.records.items() if job_id not in gone} if gone else gathered.records
    known = known_jobs(bulk, list(told))
    kinds = Kinds(bulk)
    recorded = _write(bulk, kinds, told, known, now)
    kinds.save()
    for table, parts in ((attempts, gathered.attempts), (items, gathered.items)):
        bulk.insert(table.name, table.columns.keys(), [part for part in parts if part[0] not in gone], once=True)
    return recorded


def known_jobs(bulk: Bulk, ids: Sequence[str]) -> dict[str, Known]:
    """Return those of these jobs that are in the store."""
    statement = f"SELECT seq, id, kind, delayed, {', '.join(rows.COLUMNS)} FROM {jobs.name} WHERE id"  # noqa: S608 - names of ours
    found = list(bulk.select_in(statement, ids))
    kinds = Kinds(bulk) if found else None  # read after them: a reader may look between two writes
    return {
        job_id: Known(seq, kind, delayed, rows.record(job_id, *kinds.names(kind), row))
        for seq, job_id, kind, delayed, *row in found
        if kinds is not None
    }


def _gone(bulk: Bulk, connection: Connection, told: Mapping[str, Record]) -> set[str]:
    """Return the jobs that were dropped before, of which nothing is kept again; one that is replayed begins anew."""
    if connection.execute(select(dropped.c.id).limit(1)).first() is None:
        return set()
    by_key = {key(job_id): job_id for job_id in told}
    found = {by_key[bytes(row[0])] for row in bulk.select_in(f"SELECT id FROM {dropped.name} WHERE id", list(by_key))}  # noqa: S608
    again = {job_id for job_id in found if told[job_id].first and told[job_id].life > 0}
    bulk.delete_in(dropped.name, "id", [key(job_id) for job_id in again])
    return found - again


def _write(bulk: Bulk, kinds: Kinds, told: Mapping[str, Record], known: Mapping[str, Known], now: float) -> Recorded:
    last = bulk.fetch(f"SELECT max(seq) FROM {jobs.name}", ())[0][0] or 0  # noqa: S608 - a name of ours
    indexed = indexed_of(bulk, [job for job in known.values() if _may_change_texts(job.record, told[job.record.id])])
    changes = _changes(kinds, told, known, indexed, now)
    bulk.walk_indexes()  # what is changed here is told by its number
    forget(bulk, changes.stale)
    expect_again(bulk, changes.late)
    bulk.insert(jobs.name, _COLUMNS, changes.new)
    for (named, groups), some in changes.changed.items():
        bulk.update(jobs.name, "seq", (*named, *rows.columns(groups)), some)
    if changes.new:
        expect(bulk, last)
    return Recorded(len(changes.new), sum(map(len, changes.changed.values())))


def _changes(
    kinds: Kinds, told: Mapping[str, Record], known: Mapping[str, Known], indexed: Mapping[int, int], now: float
) -> _Changes:
    changes = _Changes()
    for job_id, record in told.items():
        before = known.get(job_id)
        if before is None:
            state = record.state(now)
            marks = kinds.count(record.task, record.queue, state), int(state == JobState.DELAYED)
            changes.new.append((job_id, *marks, *rows.values(record, rows.GROUPS)))
            continue
        after = join(before.record, record)
        groups = rows.changed(before.record, after)
        if not groups:
            continue
        state = after.state(now)
        kind = kinds.move(before.kind, after.task, after.queue, state)
        _reindex(changes, before, after, indexed.get(before.seq, NOTHING), kinds)
        named = _marks(before, kind, int(state == JobState.DELAYED))
        row = before.seq, *named.values(), *rows.values(after, groups)
        changes.changed.setdefault((tuple(named), groups), []).append(row)
    return changes


def _marks(before: Known, kind: int, delayed: int) -> dict[str, int]:
    """Return those of a job's marks that change: each is in an index, which a write of the same would change as well."""
    marks = ("kind", kind, before.kind), ("delayed", delayed, before.delayed)
    return {name: new for name, new, old in marks if new != old}


# --- texts -----------------------------------------------------------------------------------------------------------


def indexed_of(bulk: Bulk, known: Collection[Known]) -> dict[int, int]:
    """Return what of jobs the index of texts has, by their numbers."""
    late = expected(bulk, [job.seq for job in known])
    return {job.seq: late.get(job.seq, BOTH if error_text(job.record).strip() else ARGUMENTS) for job in known}


def _may_change_texts(before: Record, told: Record) -> bool:
    """Whether what is told of a job may change a text of it: most does not, and what is indexed need not be asked for."""
    return bool(told.first or not before.first or error_text(told) or error_text(before))


def _reindex(changes: _Changes, before: Known, after: Record, indexed: int, kinds: Kinds) -> None:
    """Note what of a changed job, of which this much is indexed, the index of texts has wrong."""
    if indexed == NOTHING:
        return
    error = error_text(after)
    if _arguments(before.record) != _arguments(after):
        changes.stale.extend(documents(before, indexed, kinds))
        changes.late.append((before.seq, NOTHING))
    elif error_text(before.record) != error:
        changes.stale.extend(documents(before, indexed, kinds)[1:])
        if error.strip() and indexed != ERROR_MISSING:
            changes.late.append((before.seq, ERROR_MISSING))


def documents(job: Known, indexed: int, kinds: Kinds) -> list[Document]:
    """Return what the index of texts has of a job: its arguments, and then its error."""
    if indexed == NOTHING:
        return []
    task, queue, workflow, arguments = _arguments(job.record)
    code = words(kinds.pair(task, queue), workflow)
    found = [(2 * job.seq, code, arguments)]
    if indexed == BOTH:
        found.append((2 * job.seq + 1, code, error_text(job.record)))
    return found


def _arguments(record: Record) -> tuple[str, str, str, str]:
    first = record.first
    return record.task, record.queue, first.workflow if first else "", first.payload if first else ""


def error_text(record: Record) -> str:
    """Return what can be found of a job's error, as `searching.ERROR` has it."""
    ended = record.ended
    if ended is None:
        return record.last_error[1]
    return "" if ended.state == JobState.DONE else f"{ended.reason} {ended.error_type} {ended.error}"


def key(job_id: str) -> bytes:
    """Return an id as `warren_dropped` has it."""
    try:
        value = uuid.UUID(job_id)
    except ValueError:
        return job_id.encode()
    return value.bytes if str(value) == job_id else job_id.encode()
