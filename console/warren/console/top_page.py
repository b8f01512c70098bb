"""One page of `warren top`: queues, workers, the jobs that run; for a terminal of a given size. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from warren.console import fleet_telling
from warren.console.amounts import rate, size, span
from warren.console.fleet import Member
from warren.console.grid import Column, Grid, cut, grid, shares
from warren.console.output import clock, iso, plural, printable
from warren.console.queue_survey import Flow, QueueLine, Survey
from warren.status import RunningJob

_UNKNOWN = "-"
_WIDE = 120
"""Cells over which the first line is spread at most."""
_QUEUE_COLUMNS = (
    Column("queue", least=12),
    Column("ready", right=True),
    Column("unacked", right=True),
    Column("consumers", right=True, spare=1),
    Column("in/s", right=True),
    Column("acked/s", right=True),
)
_WORKER_COLUMNS = (
    Column("worker", least=12),
    Column("state"),
    Column("busy", right=True),
    Column("jobs/s", right=True),
    Column("done", right=True),
    Column("retried", right=True, spare=2),
    Column("failed", right=True),
    Column("memory", right=True, spare=1),
    Column("up", right=True, spare=3),
    Column("queues", least=8, spare=4),
)
_JOB_COLUMNS = (
    Column("for", right=True),
    Column("task", least=24),
    Column("progress", right=True, spare=2),
    Column("job", spare=1),
    Column("worker/slot", least=12),
    Column("attempt", right=True, spare=4),
    Column("pid", right=True, spare=5),
    Column("queue", least=8, spare=3),
)


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows.

    Attributes:
        now: seconds since the epoch.
        queues: None while they are not known.
        notes: what stands in the way of knowing more.
    """

    namespace: str
    broker: str
    now: float
    members: tuple[Member, ...]
    queues: Survey | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the page; `style` as rich names them."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """A table of the page, not cut yet: its lines by importance; `more` are things it has no line for."""

    table: Grid
    styles: tuple[str, ...]
    noun: str
    empty: str
    more: int = 0

    @property
    def need(self) -> int:
        return len(self.styles) + (self.more > 0) if self.styles else 1

    def lines(self, room: int, width: int) -> Iterator[Line]:
        if not self.styles:
            yield Line(cut(self.empty, width), "dim")
            return
        if not room:
            yield Line(cut(f"… {plural(len(self.styles) + self.more, self.noun)}", width), "dim")
            return
        yield Line(cut(self.table.heading, width), "bold")
        shown = room if room >= self.need and not self.more else max(0, room - 1)
        for text, style in list(zip(self.table.lines, self.styles, strict=True))[:shown]:
            yield Line(text, style)
        left = len(self.styles) - shown + self.more
        if left > 0:
            yield Line(cut(f"… {left:,} more {self.noun}{'' if left == 1 else 's'}", width), "dim")


def page(view: View, width: int, height: int | None = None, keys: str = "") -> list[Line]:
    """Return the lines of a page.

    Args:
        view: what is to be shown.
        width: cells of the terminal.
        height: its lines; None for as many as it takes.
        keys: what the reader can press.
    """
    parts = (_queues(view, width), _workers(view, width), _jobs(view, width))
    omitted = [heading for part in parts if part.styles for heading in part.table.omitted]
    notes = list(view.notes)
    if omitted:
        notes.append(f"a wider terminal shows more: {', '.join(dict.fromkeys(omitted))}")
    below = [Line(cut(printable(note), width), "yellow") for note in notes]
    head = [*_head(view, width, keys), Line("")]
    sums = _sums(view, width)
    headings = sum(bool(part.styles) for part in parts)
    fixed = len(head) + len(sums) + headings + len(below) + len(parts) - 1 + bool(below)
    needs = [part.need for part in parts]
    room = needs if height is None else shares(needs, height - fixed)
    lines = head
    for place, part in enumerate(parts):
        lines += [*part.lines(room[place], width), *(sums if place == 0 else ()), Line("")]
    lines = [*lines, *below] if below else lines[:-1]
    return lines if height is None else lines[:height]


def document(view: View) -> dict[str, Any]:
    """Return the same as JSON is to have it."""
    found = view.queues or Survey(())
    return {
        "namespace": view.namespace,
        "at": iso(view.now),
        "queues": [asdict(line) | _flow_document(found.flows.get(line.queue)) for line in found.lines],
        "delayed": found.delayed,
        "dead": found.dead,
        "stuck": found.stuck,
        "workers": [fleet_telling.document(member) for member in view.members],
        "notes": list(view.notes),
    }


def _flow_document(flow: Flow | None) -> dict[str, float | None]:
    return {"in_rate": flow.incoming if flow else None, "ack_rate": flow.acked if flow else None}


def _head(view: View, width: int, keys: str) -> Iterator[Line]:
    title = f"warren · namespace {view.namespace} · {view.broker}"
    right = f"{clock(view.now)[11:]} UTC{f'  {keys}' if keys else ''}"
    left = cut(title, max(0, width - len(right) - 2))
    gap = max(2, min(width, _WIDE) - len(left) - len(right))
    yield Line(cut(f"{left}{' ' * gap}{right}", width), "bold")
    working = [member for member in view.members if member.works]
    processes = sum(member.status.processes for member in working)
    rates = [member.rate for member in working if member.rate is not None]
    silent = sum(member.silent for member in view.members)
    said = [
        plural(len(working), "worker") + (f" and {silent} silent" if silent else ""),
        f"{sum(member.status.busy for member in working):,} of {processes:,} processes busy",
        f"{plural(sum(member.status.running for member in working), 'job')} running",
        *([f"{rate(sum(rates))} ended/s"] if rates else []),
    ]
    yield Line(cut(" · ".join(said), width), "red" if silent else "")


def _queues(view: View, width: int) -> _Part:
    lines = view.queues.lines if view.queues is not None else ()
    flows = view.queues.flows if view.queues is not None else {}
    # Those with the most to do first: the others are the ones to be cut off.
    ordered = sorted(lines, key=lambda line: (-line.ready - (line.unacked or 0), line.queue))
    rows = [_queue_row(line, flows.get(line.queue)) for line in ordered]
    styles = tuple("red" if line.ready and not line.consumers else "" for line in ordered)
    empty = "no queues" if view.queues is not None else "queues: asking the broker"
    return _Part(grid(_QUEUE_COLUMNS, rows, width), styles, "queue", empty)


def _queue_row(line: QueueLine, flow: Flow | None) -> tuple[str, ...]:
    unacked = _UNKNOWN if line.unacked is None else f"{line.unacked:,}"
    into, out = (flow.incoming, flow.acked) if flow is not None else (None, None)
    return (
        line.queue,
        f"{line.ready:,}",
        unacked,
        f"{line.consumers:,}",
        rate(into) or _UNKNOWN,
        rate(out) or _UNKNOWN,
    )


def _sums(view: View, width: int) -> list[Line]:
    found = view.queues
    if found is None:
        return []
    named = (("delayed", found.delayed), ("dead letters", found.dead), ("stuck", found.stuck or None))
    told = [f"{name} {count:,}" for name, count in named if count is not None]
    return [Line(cut(" · ".join(told), width), "red" if found.stuck else "")] if told else []


def _workers(view: View, width: int) -> _Part:
    ordered = sorted(view.members, key=lambda member: (not member.silent, not member.works))
    styles = tuple("red" if member.silent else "" if member.works else "dim" for member in ordered)
    empty = "no worker said anything in the last minute"
    return _Part(grid(_WORKER_COLUMNS, [_worker_row(member) for member in ordered], width), styles, "worker", empty)


def _worker_row(member: Member) -> tuple[str, ...]:
    status = member.status
    return (
        status.name,
        fleet_telling.state(member),
        f"{status.busy}/{status.processes}",
        rate(member.rate) or _UNKNOWN,
        f"{status.count('done'):,}",
        f"{status.count('retry'):,}",
        f"{fleet_telling.failed(member):,}",
        size(status.memory) or _UNKNOWN,
        span(fleet_telling.up_seconds(member)),
        " ".join(status.queues),
    )


def _jobs(view: View, width: int) -> _Part:
    """The jobs of workers that work, by how long they run."""
    found = [
        (member, slot, job)
        for member in view.members
        if member.works
        for slot in member.status.slots
        for job in slot.jobs
    ]
    found.sort(key=lambda one: one[2].since)
    rows = [_job_row(view.now, member.status.name, slot.slot, slot.pid, job) for member, slot, job in found]
    running = sum(member.status.running for member in view.members if member.works)
    table = grid(_JOB_COLUMNS, rows, width)
    return _Part(table, ("",) * len(rows), "job", "no job is running", max(0, running - len(rows)))


def _job_row(now: float, worker: str, slot: int, pid: int, job: RunningJob) -> tuple[str, ...]:
    return (
        span(now - job.since),
        job.task,
        fleet_telling.progress(job),
        job.id,
        f"{worker}/{slot}",
        str(job.attempt),
        str(pid),
        job.queue,
    )
