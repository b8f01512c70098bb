"""Draining a queue of no-op jobs with two processes: jobs a second, and whose CPU time each job takes."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.processes import CpuSplit, split
from benchmarks.waiting import NotInTime
from benchmarks.worker import Worker, running

_NEARLY = 0.95
"""A drain is not watched to its last jobs, when a process may have run out of work."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A system under conditions."""

    subject: str
    system: str
    conditions: dict[str, Any]


VARIANTS = (
    Variant("warren", "warren", {"prefetch": None}),
    Variant("warren, read-ahead 0", "warren", {"prefetch": 1}),
    Variant("celery, prefetch 1", "celery", {"prefetch": 1}),
    Variant("dramatiq, prefetch 1", "dramatiq", {"prefetch": 1}),
    Variant("taskiq, prefetch 1", "taskiq", {"prefetch": 1}),
    Variant("dramatiq, prefetch 100, classic", "dramatiq", {"prefetch": 100, "classic": True}),
    Variant("taskiq, as it comes", "taskiq", {"prefetch": None}),
    Variant("bare, prefetch 1", "bare", {"prefetch": 1}),
    Variant("bare, a process each", "bare-processes", {"prefetch": 1}),
)


def cases(lab: Lab) -> Iterator[Case]:
    """Every system at prefetch 1, and what some do when they are let."""
    for variant in VARIANTS:
        if variant.system.removesuffix("-processes") in lab.systems:
            yield Case("drain", variant.subject, partial(_drain, lab, variant))


def _drain(lab: Lab, variant: Variant) -> Quantities:
    plan = lab.plan
    with lab.site(**variant.conditions) as site:
        lab.fill(variant.system, site, plan.backlog)
        with running(variant.system, site) as worker:
            jobs, used = watched(worker, plan.warm, int(plan.backlog * _NEARLY), plan.drain_seconds)
    return as_quantities(jobs, used)


def watched(worker: Worker, warm: int, jobs: int, seconds: float) -> tuple[int, CpuSplit]:
    """Watch a worker from its `warm`th job until it has run `jobs`, or for some seconds; how many it ran, and at what cost."""
    worker.wait_for(warm)
    # In this order: looking for the processes takes some milliseconds, reading what they have used and done does not.
    before, first = worker.cpu(), worker.count
    with suppress(NotInTime):  # it is slow: what it did until now counts
        worker.wait_for(jobs, seconds)
    after, last = worker.cpu(), worker.count
    return last - first, split(before, after)


def as_quantities(jobs: int, used: CpuSplit) -> dict[str, float]:
    """Return rate and CPU time a job."""
    return {"jobs/s": jobs / used.seconds} | {f"{part} µs": value for part, value in used.per_job(jobs).items()}
