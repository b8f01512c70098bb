"""Workers as JSON documents and as lines for humans: pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from warren.console.amounts import rate, size, span
from warren.console.fleet import Member
from warren.console.output import iso, plural
from warren.status import ProcessStatus, RunningJob

HEADINGS = ("worker", "state", "heard", "queues", "busy", "jobs/s", "done", "retried", "failed", "memory", "up")
RIGHT = ("heard", "busy", "jobs/s", "done", "retried", "failed", "memory", "up")
SLOT_HEADINGS = ("slot", "pid", "state", "memory", "job", "attempt", "for", "progress", "queue", "task")
SLOT_RIGHT = ("slot", "pid", "memory", "attempt", "for", "progress")

_FAILED = ("failed", "crashed", "rejected", "expired")


def document(member: Member) -> dict[str, Any]:
    """Return a worker as JSON is to have it: moments as ISO 8601, `age` in seconds."""
    status = member.status
    told: dict[str, Any] = msgspec.to_builtins(status)
    rest = {name: getattr(status, name) for name in ("ended", "reconnects", "rss", "running", "busy", "memory")}
    moments = {"at": iso(status.at), "started_at": iso(status.started_at)}
    heard = {"age": round(member.age, 3), "silent": member.silent, "rate": member.rate}
    return told | rest | moments | heard | {"slots": [_slot_document(slot) for slot in status.slots]}


def _slot_document(slot: ProcessStatus) -> dict[str, Any]:
    jobs = [
        {name: getattr(job, name) for name in job.__struct_fields__} | {"since": iso(job.since)} for job in slot.jobs
    ]
    return {name: getattr(slot, name) for name in slot.__struct_fields__} | {"jobs": jobs}


def state(member: Member) -> str:
    """Return its state in a word or two."""
    return f"silent for {span(member.age)}" if member.silent else str(member.status.state)


def row(member: Member) -> tuple[str, ...]:
    """Return a worker's line, by `HEADINGS`."""
    status = member.status
    return (
        status.name,
        state(member),
        f"{span(member.age)} ago",
        " ".join(status.queues),
        f"{status.busy}/{status.processes}",
        rate(member.rate),
        f"{status.count('done'):,}",
        f"{status.count('retry'):,}",
        f"{status.count(*_FAILED):,}",
        size(status.memory),
        span(up_seconds(member)),
    )


def up_seconds(member: Member) -> float:
    """Return for how long it has been there, or had been when it said so last."""
    return member.status.at - member.status.started_at + (member.age if member.works else 0.0)


def failed(member: Member) -> int:
    """Return how many attempts failed for good, crashed, were rejected or expired."""
    return member.status.count(*_FAILED)


def slot_rows(member: Member) -> list[tuple[str, ...]]:
    """Return a line for every process, and one for each further job in it, by `SLOT_HEADINGS`."""
    lines = []
    for slot in member.status.slots:
        first = (str(slot.slot), str(slot.pid or ""), slot.state, size(slot.rss))
        for job in slot.jobs or (None,):
            lines.append((*first, *_job_cells(job, member)))
            first = ("", "", "", "")
        unlisted = slot.running - len(slot.jobs)
        if unlisted > 0:
            lines.append(("", "", "", "", f"… {plural(unlisted, 'job')} more", "", "", "", "", ""))
    return lines


def _job_cells(job: RunningJob | None, member: Member) -> tuple[str, ...]:
    if job is None:
        return ("",) * 6
    ran = member.status.at - job.since + (0.0 if member.silent else member.age)
    return (job.id, str(job.attempt), span(ran), progress(job), job.queue, job.task)


def progress(job: RunningJob) -> str:
    """Return how far a job said it is."""
    if job.done is None:
        return ""
    return f"{job.done:,}/{job.total:,}" if job.total is not None else f"{job.done:,}"


def pairs(member: Member) -> list[tuple[str, object]]:
    """Return what is told of one worker, as name and value."""
    status = member.status
    return [
        ("worker", status.name),
        ("state", state(member)),
        ("heard", f"{span(member.age)} ago"),
        ("host", status.host),
        ("pid", status.pid),
        ("version", status.version),
        ("started", iso(status.started_at)),
        ("queues", ", ".join(status.queues)),
        ("processes", f"{status.busy} of {status.processes} busy"),
        ("ended", ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(status.ended.items()))),
        ("jobs/s", rate(member.rate)),
        ("reconnects", status.reconnects),
        ("memory", f"{size(status.memory)}, {size(status.rss)} of it the parent" if status.rss else ""),
    ]


def summary(members: Sequence[Member], namespace: str, seconds: float) -> str:
    """Return the line below a list."""
    if not members:
        return (
            f"no worker of namespace {namespace!r} said anything in the last {span(seconds)}: start one with "
            "`warren worker MODULE`, or look further back with `warren workers list --since 3600`"
        )
    silent = sum(member.silent for member in members)
    text = f"{plural(len(members), 'worker')}; look at one with `warren workers show NAME`"
    if silent:
        what = "one is silent: it" if silent == 1 else f"{silent} are silent: they"
        text += f"; {what} crashed, or cannot reach the broker"
    return text
