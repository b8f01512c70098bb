"""Enqueuing: jobs one by one, each confirmed before the next, and many at a time."""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import apart
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities

BATCH = 500
_BATCHED = ("warren", "warren-async", "taskiq", "bare")
"""Celery and Dramatiq can only loop, which is what `enqueue` measures."""


def cases(lab: Lab) -> Iterator[Case]:
    """Every system one by one and in batches."""
    for _ in range(lab.plan.rounds):
        for name in lab.systems:
            yield Case("enqueue", name, partial(_singly, lab, name))
        for name in lab.systems:
            if name in _BATCHED:
                yield Case("enqueue many", name, partial(_batched, lab, name))


def _singly(lab: Lab, name: str) -> Quantities:
    with lab.site() as site:
        return apart(site, name, "singly", "nothing", [PAYLOAD], lab.plan.singles)


def _batched(lab: Lab, name: str) -> Quantities:
    number = lab.plan.batched
    with lab.site() as site:
        if name == "bare":  # its batch is its window
            return apart(site, name, "at_once", "nothing", [PAYLOAD], number)
        return apart(site, name, "in_batches", "nothing", [PAYLOAD], number, min(BATCH, number))
