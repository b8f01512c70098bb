"""The history of jobs: facts are recorded in batches, one transaction each, together with how far their stream was read.

What is in the store of a job is read, joined with what the facts say (`warren.store.merging`), and written. Between the two
nobody else may write: SQLite's write transaction sees to that by itself, in PostgreSQL a lock of the transaction does.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from warren.states import JobState
from warren.store import rows
from warren.store.bulk import Bulk
from warren.store.facts import AttemptEnded, Ended, Fact, GivenBack, ItemsEnded
from warren.store.kinds import Kinds
from warren.store.merging import Record, join, of, short, text
from warren.store.searching import ARGUMENTS, BOTH, ERROR_MISSING, NOTHING, forget, words
from warren.store.tables_history import attempts, dropped, items, jobs

ITEMS_BYTES = 1_048_576
"""Of one part of a chunk, a little more than workers send together; of a longer one only that it was."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch came to: jobs that were new, jobs of which something new is known."""

    new: int
    changed: int


@dataclass(frozen=True, slots=True)
class Known:
    """A job that is in the store; `indexed` says what of it the index of texts has."""

    seq: int
    kind: int
    indexed: int
    delayed: int
    record: Record


def record(connection: Connection, facts: Iterable[Fact], now: float) -> Recorded:
    """Record facts, in any order and however often each is told.

    Args:
        connection: of a write transaction.
        facts: of any jobs.
        now: decides only whether a job that waits is told as delayed or queued until somebody looks again.
    """
    bulk = Bulk(connection)
    bulk.lock("history")
    batch = list(facts)
    told = _told(batch)
    gone = _gone(bulk, connection, told)
    for job_id in gone:
        del told[job_id]
    known = known_jobs(bulk, list(told))
    kinds = Kinds(bulk)
    recorded = _write(bulk, kinds, told, known, now)
    kinds.save()
    _write_parts(bulk, [fact for fact in batch if fact.id not in gone])
    return recorded


def _told(facts: Iterable[Fact]) -> dict[str, Record]:
    told: dict[str, Record] = {}
    for fact in facts:
        one = of(fact)
        before = told.get(one.id)
        told[one.id] = one if before is None else join(before, one)
    return told


def known_jobs(bulk: Bulk, ids: Sequence[str]) -> dict[str, Known]:
    """Return those of these jobs that are in the store."""
    statement = f"SELECT seq, id, kind, indexed, delayed, {', '.join(rows.COLUMNS)} FROM {jobs.name} WHERE id"  # noqa: S608 - names of ours
    found = list(bulk.select_in(statement, ids))
    kinds = Kinds(bulk) if found else None  # read after them: a reader may look between two writes
    return {
        job_id: Known(seq, kind, indexed, delayed, rows.record(job_id, *kinds.names(kind), row))
        for seq, job_id, kind, indexed, delayed, *row in found
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
    new: list[tuple[Any, ...]] = []
    changed: dict[
        tuple[tuple[str, ...], tuple[rows.Group, ...]], list[tuple[Any, ...]]
    ] = {}  # by what changes in a row
    stale: list[tuple[int, str, str]] = []
    for job_id, record in told.items():
        before = known.get(job_id)
        if before is None:
            state = record.state(now)
            kind = kinds.count(record.task, record.queue, state)
            new.append((job_id, kind, NOTHING, int(state == JobState.DELAYED), *rows.values(record, rows.GROUPS)))
            continue
        after = join(before.record, record)
        groups = rows.changed(before.record, after)
        if not groups:
            continue
        state = after.state(now)
        kind = kinds.move(before.kind, after.task, after.queue, state)
        indexed = before.indexed
        if indexed != NOTHING:
            indexed, out = _reindexed(before, after, kinds)
            stale += out
        marks = _marks(before, kind, indexed, int(state == JobState.DELAYED))
        row = before.seq, *marks.values(), *rows.values(after, groups)
        changed.setdefault((tuple(marks), groups), []).append(row)
    forget(bulk, stale)
    bulk.insert(jobs.name, ("id", "kind", "indexed", "delayed", *rows.COLUMNS), new)
    for (named, groups), some in changed.items():
        bulk.update(jobs.name, "seq", (*named, *rows.columns(groups)), some)
    return Recorded(len(new), sum(map(len, changed.values())))


def _marks(before: Known, kind: int, indexed: int, delayed: int) -> dict[str, int]:
    """Return those of a job's marks that change: each is in an index, which a write of the same would change as well."""
    after, was = (kind, indexed, delayed), (before.kind, before.indexed, before.delayed)
    return {name: new for name, new, old in zip(("kind", "indexed", "delayed"), after, was, strict=True) if new != old}


def _reindexed(before: Known, after: Record, kinds: Kinds) -> tuple[int, list[tuple[int, str, str]]]:
    """Return what of a changed job is still right in the index of texts, and the documents that are not."""
    is_same = _arguments(before.record) == _arguments(after)
    indexed, error = before.indexed, error_text(after)
    out = documents(before, kinds)
    if not is_same:
        return NOTHING, out
    if error_text(before.record) == error:
        return indexed, []
    return ERROR_MISSING if error.strip() else ARGUMENTS, out[1:]


def documents(job: Known, kinds: Kinds) -> list[tuple[int, str, str]]:
    """Return what the index of texts has of a job: its arguments, and then its error."""
    if job.indexed == NOTHING:
        return []
    task, queue, workflow, arguments = _arguments(job.record)
    code = words(kinds.pair(task, queue), workflow)
    found = [(2 * job.seq, code, arguments)]
    if job.indexed == BOTH:
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


# --- attempts and items ----------------------------------------------------------------------------------------------


def _write_parts(bulk: Bulk, facts: Sequence[Fact]) -> None:
    ended = {each: None for fact in facts if (each := _attempt(fact)) is not None}
    bulk.insert(attempts.name, attempts.columns.keys(), list(ended), once=True)
    parts = {
        part: None
        for fact in facts
        if isinstance(fact, ItemsEnded | Ended) and (fact.items or fact.failed)
        for part in (_part(fact),)
    }
    bulk.insert(items.name, items.columns.keys(), list(parts), once=True)


def _attempt(fact: Fact) -> tuple[Any, ...] | None:
    match fact:
        case AttemptEnded():
            outcome, started, error = fact.outcome, fact.started_at, fact.error
        case GivenBack():
            outcome, started, error = fact.why, None, ""
        case Ended(state=JobState.DEAD):
            outcome, started, error = "dead", fact.started_at, f"{fact.error_type}: {fact.error}".lstrip(": ")
        case _:
            return None
    where = short(fact.id, "id"), fact.replays, fact.attempt, fact.at, short(outcome, "outcome")
    return *where, started, short(fact.worker, "worker"), text(error)


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of some items of a chunk, by place."""

    items: dict[int, msgspec.Raw] = {}
    failed: dict[int, Any] = {}


def _part(fact: ItemsEnded | Ended) -> tuple[Any, ...]:
    content = msgspec.json.encode(Part(dict(sorted(fact.items.items())), dict(sorted(fact.failed.items()))))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    run = fact.replays * (1 << 20) + fact.attempt
    return short(fact.id, "id"), run, digest, content if len(content) <= ITEMS_BYTES else None
