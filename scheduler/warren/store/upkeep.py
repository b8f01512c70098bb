"""What keeps the history small and its words right, in batches that a recorder runs between its own: each is one short transaction."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, text

from warren.states import FINAL, JobState
from warren.store.bulk import Bulk
from warren.store.history import documents, indexed_of, key, known_jobs
from warren.store.kinds import Kinds
from warren.store.searching import forget
from warren.store.tables_history import attempts, dropped, items, jobs, kinds, unindexed

TRACES = 10
"""A job that was dropped is remembered by its id ten times as long as it was kept, in age and in number."""


def retain(connection: Connection, now: float, *, age: float, keep: int, batch: int = 500) -> int:
    """Drop jobs that ended long ago, or before the newest so many that have ended; never one that has not.

    Args:
        connection: of a write transaction.
        now: seconds since the epoch.
        age: seconds since its end for which a job is kept; 0 for ever.
        keep: how many jobs that have ended are kept; 0 for all.
        batch: how many are dropped at most.

    Returns:
        how many were dropped: if it is `batch`, there may be more.
    """
    bulk = Bulk(connection)
    bulk.lock("history")
    ended = connection.execute(select(func.sum(kinds.c.jobs)).where(kinds.c.state.in_(sorted(FINAL)))).scalar_one() or 0
    over = max(0, int(ended) - keep) if keep else 0
    oldest = select(jobs.c.id).where(jobs.c.finished_at.is_not(None)).order_by(jobs.c.finished_at)
    gone = list(connection.execute(oldest.limit(min(over, batch))).scalars()) if over else []
    if age and len(gone) < batch:
        aged = connection.execute(oldest.where(jobs.c.finished_at < now - age).limit(batch)).scalars()
        gone = list(dict.fromkeys((*gone, *aged)))[:batch]
    _drop(bulk, gone, now)
    _forget_traces(connection, now, age=age, keep=keep, batch=batch)
    return len(gone)


def _drop(bulk: Bulk, ids: Sequence[str], now: float) -> None:
    counts = Kinds(bulk)
    known = known_jobs(bulk, ids)
    indexed = indexed_of(bulk, known.values())
    forget(bulk, [document for job in known.values() for document in documents(job, indexed[job.seq], counts)])
    bulk.delete_in(unindexed.name, "seq", list(indexed))
    for kind, number in Counter(job.kind for job in known.values()).items():
        counts.forget(kind, number)
    counts.save()
    bulk.delete_in(jobs.name, "seq", [job.seq for job in known.values()])
    bulk.delete_in(attempts.name, "job", ids)
    bulk.delete_in(items.name, "job", ids)
    bulk.insert(dropped.name, ("id", "at"), [(key(job_id), now) for job_id in ids], once=True)


def _forget_traces(connection: Connection, now: float, *, age: float, keep: int, batch: int) -> None:
    """Traces are never more than ten times what is kept: of each new one an old one goes, two while there are too many.

    They are numbered as they come and go in that order, so the first and the last number tell how many there are.
    """
    first, last = (connection.execute(select(end(dropped.c.seq))).scalar_one() for end in (func.min, func.max))
    if first is None:
        return
    over = last + 1 - first - keep * TRACES if keep else 0
    below = first + max(0, min(over, 2 * batch))
    if age:
        oldest = connection.execute(select(dropped.c.seq, dropped.c.at).order_by(dropped.c.seq).limit(batch))
        aged = [seq for seq, at in oldest if at < now - age * (TRACES - 1)]
        below = max(below, *(seq + 1 for seq in aged)) if aged else below
    connection.execute(delete(dropped).where(dropped.c.seq < below))


def ripen(connection: Connection, now: float, batch: int = 1_000) -> int:
    """Tell jobs as queued whose delay is over, in a write transaction; return how many were.

    Whoever reads goes by the time as well: this only keeps the index of kinds true.
    """
    bulk = Bulk(connection)
    bulk.lock("history")
    ripe = select(jobs.c.seq, jobs.c.kind).where(text("delayed = 1"), jobs.c.ready_at <= now).limit(batch)
    counts = Kinds(bulk)
    moved = [
        (seq, counts.move(kind, *counts.names(kind), JobState.QUEUED), 0) for seq, kind in connection.execute(ripe)
    ]
    bulk.update(jobs.name, "seq", ("kind", "delayed"), moved)
    counts.save()
    return len(moved)
