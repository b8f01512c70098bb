"""What workers answered, as JSON documents and as lines for humans: pure."""

import difflib
from collections.abc import Sequence
from typing import Any

import msgspec

from warren.console.amounts import span
from warren.console.fleet import Member
from warren.console.fleet_telling import progress, state
from warren.console.output import iso, plural
from warren.steering import Draining, ProcessStacks, Recycling, Resized, Stacks


def draining(worker: str, answer: Draining) -> str:
    """Return what a worker answers that drains."""
    if not answer.running:
        return f"{worker} ends{' already' if answer.already else ''}: it runs nothing"
    jobs, many = plural(answer.running, "job"), answer.running > 1
    if answer.already:
        return f"{worker} drains already: {jobs} still {'run' if many else 'runs'}"
    return f"{worker} takes no more jobs: {jobs} {'have' if many else 'has'} {answer.grace:g} s to finish"


def resized(worker: str, answer: Resized) -> str:
    """Return what a worker answers that has another number of processes now."""
    if answer.refused:
        return f"{worker} keeps {plural(answer.before, 'process', 'processes')}: {answer.refused}"
    if answer.before == answer.after:
        return f"{worker} has {plural(answer.after, 'process', 'processes')} already"
    leave = "; those too many leave when they have finished" if answer.after < answer.before else ""
    return f"{worker} goes from {answer.before} to {plural(answer.after, 'process', 'processes')}{leave}"


def recycling(worker: str, answer: Recycling) -> str:
    """Return what a worker answers that replaces its processes."""
    if answer.refused:
        return f"{worker} replaces nothing: {answer.refused}"
    return (
        f"{worker} replaces {plural(answer.processes, 'process', 'processes')}, each when it has finished what it runs"
    )


def stacks(worker: str, answer: Stacks) -> str:
    """Return the stacks of a worker's processes, each below what it runs."""
    return "\n".join(_stacks(worker, process) for process in answer.processes)


def _stacks(worker: str, process: ProcessStacks) -> str:
    head = f"── {worker}, slot {process.slot}, pid {process.pid}"
    jobs = [f"   {job.task} {job.id}, attempt {job.attempt} {progress(job)}".rstrip() for job in process.jobs]
    text = process.text or "it did not answer: it starts, leaves, or has just ended"
    return "\n".join([head, *(jobs or ["   runs nothing"]), *(f"   {line}" for line in text.splitlines()), ""])


def document(worker: str, answer: msgspec.Struct) -> dict[str, Any]:
    """Return one worker's answer as JSON is to have it."""
    told: dict[str, Any] = {"worker": worker} | msgspec.to_builtins(answer)
    if isinstance(answer, Stacks):
        for process, shown in zip(answer.processes, told["processes"], strict=True):
            for job, one in zip(process.jobs, shown["jobs"], strict=True):
                one["since"] = iso(job.since)
    return told


def unanswered(member: Member, seconds: float) -> str:
    """Return why a worker may not have answered, and what to do."""
    name, heard = member.status.name, f"{span(member.age)} ago"
    if member.silent:
        return f"worker {name!r} does not answer, and is {state(member)}: it crashed, or cannot reach the broker"
    return (
        f"worker {name!r} does not answer within {seconds:g} s, though it said {heard} that it is {state(member)}: "
        "its log and /livez tell more"
    )


def unknown(name: str, members: Sequence[Member], seconds: float) -> str:
    """Return that nobody of this name is there."""
    if not name:
        return f"no worker answers, and none said anything in the last {seconds:g} s"
    near = difflib.get_close_matches(name, [member.status.name for member in members], 1)
    hint = f"did you mean {near[0]!r}?" if near else "`warren workers` lists those there are"
    return f"no worker {name!r} answers, and none said anything in the last {seconds:g} s; {hint}"
