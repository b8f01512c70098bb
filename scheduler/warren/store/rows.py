"""A record as its row in `warren_jobs`, and a row as its record."""

from collections.abc import Sequence
from typing import Any

from warren.store.merging import NONE, End, First, Progress, Record, Run, Standing
from warren.store.tables_history import jobs

COLUMNS = tuple(
    column.name for column in jobs.columns if column.name not in ("seq", "id", "kind", "indexed", "delayed")
)
"""What of a row its record says by itself, in the order of `values` and `record`."""


def values(record: Record) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`."""
    first, standing, started, progress, ended = (
        *(record.first, record.standing, record.started, record.progress, record.ended),
    )
    return (
        record.enqueued_at,
        *(_of_first(first) if first else (None,) * 6),
        *(record.life, record.attempt, record.failures, record.crashes),
        *record.ready,
        record.last_error[0],
        record.last_error[1] or None,
        *standing,
        *(started.attempt, started.at or None, started.worker or None),
        *(progress.attempt, progress.at or None, _known(progress.done), _known(progress.total)),
        *(_of_end(ended) if ended else (None,) * 8),
    )


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
        End(row[26], row[27], row[28], *(each or "" for each in row[29:34])) if row[26] is not None else None,
    )


def _of_first(first: First) -> tuple[Any, ...]:
    return (
        *(first.run, first.payload, _known(first.items), _known(first.priority)),
        *(first.workflow or None, first.node or None),
    )


def _first(task: str, queue: str, row: Sequence[Any]) -> First:
    enqueued_at, run, payload, items, priority, workflow, node = row[:7]
    return First(
        run, enqueued_at, task, queue, payload or "", _number(items), _number(priority), workflow or "", node or ""
    )


def _of_end(end: End) -> tuple[Any, ...]:
    return (end.attempt, end.rank, end.at, *(each or None for each in end[3:]))


def _known(number: int) -> int | None:
    return None if number == NONE else number


def _number(known: int | None) -> int:
    return NONE if known is None else known
