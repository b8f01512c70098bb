"""Enqueue, run, wait for the result: one job after the other, beside what the bare client needs for the way back.

The parts that the round trip is compared with: from before the enqueuing to the job's first line (which has the enqueuing
in it, and the worker), and a bare publish, confirmed, delivered to a consumer on another connection (which is what a result
needs at least). Nothing is counted twice: the enqueuing is told beside them and not added.
"""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import apart
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.worker import running


def cases(lab: Lab) -> Iterator[Case]:
    """Warren's round trip, and the bare one-way trip."""
    if "warren" in lab.systems:
        yield Case("round trip", "warren", partial(_warren, lab))
    if "bare" in lab.systems:
        yield Case("round trip", "bare, one way", partial(_bare, lab))


def _warren(lab: Lab) -> Quantities:
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, 1)
        with running("warren", site) as worker:
            worker.wait_for(1)
            return apart(site, "warren", "round_trips", lab.plan.round_trips)


def _bare(lab: Lab) -> Quantities:
    with lab.site() as site:
        return apart(site, "bare", "one_way", lab.plan.round_trips)
