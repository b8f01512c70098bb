"""A job of the history as JSON, as a line and as a page for a human."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import msgspec

from warren.console.amounts import span
from warren.console.grid import Column
from warren.console.output import clock, fields, iso, plural, printable, raw_line, shortened, table
from warren.result import ItemFailure, Result
from warren.states import JobState
from warren.store.asking import Attempt, Whole
from warren.store.merging import CUT, NONE, Record

COLUMNS = (
    Column("id"),
    Column("state"),
    Column("task", least=12),
    Column("queue", least=6, spare=4),
    Column("enqueued (UTC)", spare=2),
    Column("took", right=True, spare=3),
    Column("attempt", right=True, spare=5),
    Column("", least=12, spare=1),
)
ATTEMPTS = ("attempt", "started (UTC)", "took", "outcome", "worker", "error")
_LISTED = 200


class _Call(msgspec.Struct):
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}


def document(record: Record, now: float) -> dict[str, Any]:
    """Return a job as a JSON object, all but what may be long."""
    first, ended, progress = record.first, record.ended, record.progress
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": record.state(now),
        "attempt": record.attempt,
        "failures": record.failures,
        "crashes": record.crashes,
        "replays": record.life,
        "priority": _known(first.priority) if first else None,
        "enqueued_at": iso(record.enqueued_at),
        "ready_at": iso(record.ready[1] or None),
        "started_at": iso(record.started.at or None),
        "finished_at": iso(ended.at if ended else None),
        "worker": record.started.worker,
        "progress": {"done": progress.done, "total": _known(progress.total)} if progress.done != NONE else None,
        "items": _known(first.items) if first else None,
        "workflow": first.workflow if first else "",
        "node": first.node if first else "",
        **_call(record),
        "reason": ended.reason if ended else "",
        "error_type": ended.error_type if ended else "",
        "error": ended.error if ended else record.last_error[1],
    }


def whole(job: Whole, now: float) -> dict[str, Any]:
    """Return all that is known of a job as a JSON object."""
    ended = job.record.ended
    value = ended.value if ended else ""
    found = document(job.record, now) | {
        "result": msgspec.Raw(value.encode()) if value and not value.startswith(CUT) else None,
        "result_length": int(value.removeprefix(CUT)) if value.startswith(CUT) else None,
        "traceback": ended.traceback if ended else "",
        "attempts": [_attempt(one) for one in job.attempts],
    }
    if job.items or job.failed or job.has_gaps:
        found |= {"item_values": job.items, "item_failures": job.failed, "item_gaps": lacks_items(job)}
    return found


def as_result(job: Whole) -> Result | None:
    """Return the result of a job that has ended; None while it has not, and where values were too long to be kept."""
    ended = job.record.ended
    if ended is None or ended.value.startswith(CUT) or (ended.state == JobState.DONE and lacks_items(job)):
        return None
    return Result(
        job.record.id,
        job.record.task,
        job.record.queue,
        ended.state,
        ended.attempt,
        ended.at,
        job.record.started.worker,
        msgspec.Raw(ended.value.encode() or b"null"),
        ended.reason,
        ended.error,
        ended.error_type,
        ended.traceback,
        job.items or None,
        {place: ItemFailure(**why) for place, why in job.failed.items()} or None,
    )


def lacks_items(job: Whole) -> bool:
    """Whether values of a chunk were too long to be kept, and are not known from a later attempt either."""
    first, known = job.record.first, len(job.items) + len(job.failed)
    return job.has_gaps and not (first and first.items != NONE and known >= first.items)


def row(record: Record, now: float) -> tuple[str, ...]:
    """Return the cells of `COLUMNS`."""
    return (
        record.id,
        record.state(now),
        record.task,
        record.queue,
        clock(record.enqueued_at),
        _took(record, now),
        str(record.attempt or ""),
        shortened(_gist(record), _LISTED),
    )


def summary(shown: Sequence[Record], counts: Mapping[JobState, int], more: str, missed: str) -> str:
    """Return the line under a list."""
    known = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    held = f"the history has {plural(sum(counts.values()), 'job')}: {known}" if known else "the history has no job yet"
    lines = [f"{plural(len(shown), 'job')} shown; {held}"]
    if more:
        lines.append(f"there are more: go on with --after {more}")
    return "\n".join((*lines, missed) if missed else lines)


def show(job: Whole, now: float) -> None:
    """Print all that is known of a job, for a human."""
    fields(_fields(job.record, now))
    click.echo()
    for line in (*_called(job.record), *_result(job)):
        click.echo(printable(line))
    if job.attempts:
        click.echo()
        table(ATTEMPTS, [_attempt_row(one) for one in job.attempts], right=("attempt", "took"))
    ended = job.record.ended
    if ended and ended.traceback:
        click.echo(f"\n{printable(ended.traceback.rstrip())}")
    if ended and ended.state == JobState.DEAD:
        click.echo(
            f"\nmore evidence: `warren dead show {job.record.id}`; run it again: `warren dead replay {job.record.id}`"
        )


def _fields(record: Record, now: float) -> Iterator[tuple[str, object]]:
    ended, progress, first = record.ended, record.progress, record.first
    state = record.state(now)
    yield from (("id", record.id), ("task", record.task), ("queue", record.queue), ("state", state))
    yield "reason", ended.reason if ended else None
    yield "error", _error(record)
    yield "attempt", record.attempt or None
    yield "failures", record.failures or None
    yield "crashes", record.crashes or None
    yield "replays", record.life or None
    yield "priority", _known(first.priority) if first else None
    yield "workflow", f"{first.workflow}, node {first.node}" if first and first.workflow else None
    yield "worker", record.started.worker
    yield "enqueued", _when(record.enqueued_at)
    yield "ready", _when(record.ready[1]) if record.ready[1] > record.enqueued_at and not ended else None
    yield "started", _when(record.started.at)
    yield "ended", _when(ended.at) if ended else None
    yield "took", _took(record, now)
    yield "progress", _progress(record) if progress.done != NONE else None
    yield "items", _known(first.items) if first else None


def _attempt(one: Attempt) -> dict[str, object]:
    return {
        "replays": one.life,
        "attempt": one.attempt,
        "started_at": iso(one.started_at),
        "ended_at": iso(one.ended_at),
        "outcome": one.outcome,
        "worker": one.worker,
        "error": one.error,
    }


def _attempt_row(one: Attempt) -> tuple[object, ...]:
    took = span(one.ended_at - one.started_at) if one.started_at else ""
    number = f"{one.attempt} (replay {one.life})" if one.life else one.attempt
    return number, clock(one.started_at), took, one.outcome, one.worker, shortened(one.error, _LISTED)


def _call(record: Record) -> dict[str, object]:
    payload = record.first.payload if record.first else ""
    if not payload or payload.startswith(CUT):
        return {"args": None, "kwargs": None, "arguments_preview": payload.removeprefix(CUT) or None}
    try:
        call = msgspec.json.decode(payload, type=_Call)
    except (msgspec.MsgspecError, RecursionError):
        return {"args": None, "kwargs": None, "arguments_preview": payload}
    return {"args": call.args, "kwargs": call.kwargs}


def _called(record: Record) -> Iterator[str]:
    call = _call(record)
    if call["args"] is None:
        said = call["arguments_preview"]
        yield f"called with (the beginning): {said}" if said else "its arguments are not known"
        return
    args, kwargs = call["args"], call["kwargs"]
    assert isinstance(args, list)
    assert isinstance(kwargs, dict)
    if not (args or kwargs):
        yield "called without arguments"
        return
    yield "called with"
    yield from (f"  {_readable(value)}" for value in args)
    yield from (f"  {name} = {_readable(value)}" for name, value in kwargs.items())


def _result(job: Whole) -> Iterator[str]:
    ended = job.record.ended
    if ended is None or ended.state != JobState.DONE:
        return
    if ended.value.startswith(CUT):
        yield f"its result of {int(ended.value.removeprefix(CUT)):,} characters was too long to be kept"
    elif job.items or job.failed or job.has_gaps:
        gaps = "; of others the values were too long to be kept" if lacks_items(job) else ""
        yield f"{plural(len(job.items), 'item')} done, {len(job.failed):,} failed{gaps}"
    elif ended.value:
        yield f"returned {_readable(msgspec.Raw(ended.value.encode()))}"


def _readable(value: msgspec.Raw) -> str:
    said = raw_line(value)
    return repr(said) if bytes(value).lstrip().startswith(b'"') else said


def _gist(record: Record) -> str:
    """Return what tells most of a job in a line: why it failed, how far it is, or what it was called with."""
    if error := _error(record):
        return error
    if record.progress.done != NONE and record.ended is None:
        return _progress(record)
    if record.first and record.first.items != NONE:
        return plural(record.first.items, "item")
    call = _call(record)
    if call["args"] is None:
        return str(call["arguments_preview"] or "")
    args, kwargs = call["args"], call["kwargs"]
    assert isinstance(args, list)
    assert isinstance(kwargs, dict)
    return ", ".join(
        [_readable(value) for value in args] + [f"{name}={_readable(value)}" for name, value in kwargs.items()]
    )


def _error(record: Record) -> str:
    ended = record.ended
    if ended is None:
        return record.last_error[1]
    if ended.state == JobState.DONE:
        return ""
    return ": ".join(filter(None, (ended.error_type, ended.error))) or ended.reason


def _progress(record: Record) -> str:
    done, total = record.progress.done, record.progress.total
    return f"{done:,} of {total:,} ({done / total:.0%})" if total > 0 else f"{done:,}"


def _took(record: Record, now: float) -> str:
    """Return how long its last attempt took, or takes."""
    started, ended = record.started.at, record.ended
    if not started or not (ended or record.standing.running):
        return ""
    seconds = (ended.at if ended else now) - started
    return f"{max(0.0, seconds):.2f}s" if seconds < 10 else span(seconds)  # noqa: PLR2004 - to the second from then on


def _when(seconds: float | None) -> str | None:
    return f"{clock(seconds)} UTC" if seconds else None


def _known(number: int) -> int | None:
    return None if number == NONE else number
