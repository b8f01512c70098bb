"""A record as its row in `warren_jobs`, and a row as its record: in groups, of which few change at a time."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import astuple

from warren.store.merging import NONE, End, First, Progress, Record, Run, Standing

Group = Callable[[Record], Sequence[Any]]
"""Returns the values of some columns."""


def values(record: Record, groups: Iterable[Group]) -> list[Any]:
    """Return the values of the columns of these groups."""
    found: list[Any] = []
    for group in groups:
        found += group(record)
    return found


def changed(before: Record, after: Record) -> tuple[Group, ...]:
    """Return the groups in which two records of one job differ."""
    differs = (
        after.first != before.first or after.heard_at != before.heard_at or after.named != before.named,
        after.life != before.life or after.attempt != before.attempt or _counts(after) != _counts(before),
        after.standing != before.standing,
        after.started != before.started,
        after.progress != before.progress,
        after.ended != before.ended,
    )
    return tuple(group for group, is_other in zip(GROUPS, differs, strict=True) if is_other)


def columns(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return the columns of these groups."""
    return tuple(column for group in groups for column in GROUPS[group])


def record(job_id: str, task: str, queue: str, row: Sequence[Any]) -> Record:
    """Return the record of a row; `row` has the values of `COLUMNS`."""
    first = row[1] is not None
    return Record(
        job_id,
        ("", "") if first else (task, queue),
        float("inf") if first else row[0],
        _first(task, queue, row) if first else None,
        row[7],
        row[8],
        row[9],
        row[10],
        (row[11], row[12]),
        (row[13], row[14] or ""),
        Standing(*row[15:19]),
        Run(row[19], row[20] or 0.0, row[21] or ""),
        Progress(row[22], row[23] or 0.0, _number(row[24]), _number(row[25])),
        End(row[26], row[27], row[28], *[each or "" for each in row[29:34]]) if row[26] is not None else None,
    )


def _of_first(record: Record) -> Sequence[Any]:
    first = record.first
    if first is None:
        return (record.heard_at, None, None, None, None, None, None)
    items, priority = _known(first.items), _known(first.priority)
    return (first.enqueued_at, first.run, first.payload, items, priority, first.workflow or None, first.node or None)


def _of_life(record: Record) -> Sequence[Any]:
    error_attempt, error = record.last_error
    life = record.life, record.attempt, record.failures, record.crashes
    return (*life, *record.ready, error_attempt, error or None)


def _counts(record: Record) -> tuple[Any, ...]:
    return record.failures, record.crashes, record.ready, record.last_error


def _of_standing(record: Record) -> Sequence[Any]:
    return astuple(record.standing)


def _of_run(record: Record) -> Sequence[Any]:
    started = record.started
    return started.attempt, started.at or None, started.worker or None


def _of_progress(record: Record) -> Sequence[Any]:
    progress = record.progress
    return progress.attempt, progress.at or None, _known(progress.done), _known(progress.total)


def _of_end(record: Record) -> Sequence[Any]:
    end = record.ended
    if end is None:
        return _NO_END
    said = end.value or None, end.reason or None, end.error or None, end.error_type or None, end.traceback or None
    return end.attempt, end.rank, end.at, *said


def _first(task: str, queue: str, row: Sequence[Any]) -> First:
    enqueued_at, run, payload, items, priority, workflow, node = row[:7]
    return First(
        run, enqueued_at, task, queue, payload or "", _number(items), _number(priority), workflow or "", node or ""
    )


def _known(number: int) -> int | None:
    return None if number == NONE else number


def _number(known: int | None) -> int:
    return NONE if known is None else known


GROUPS: dict[Group, tuple[str, ...]] = {
    _of_first: ("enqueued_at", "first_run", "payload", "items", "priority", "workflow", "node"),
    _of_life: (
        *("life", "attempt", "failures", "crashes"),
        *("ready_attempt", "ready_at", "error_attempt", "last_error"),
    ),
    _of_standing: ("standing_attempt", "standing_stage", "standing_at", "running"),
    _of_run: ("started_attempt", "started_at", "worker"),
    _of_progress: ("progress_attempt", "progress_at", "done", "total"),
    _of_end: (
        *("ended_attempt", "ended_rank", "finished_at"),
        *("value", "reason", "error", "error_type", "traceback"),
    ),
}
"""What of a row its record says by itself, and its columns."""
COLUMNS = columns(GROUPS)
"""All of them, in the order of `record`."""
_NO_END = (None,) * 8
