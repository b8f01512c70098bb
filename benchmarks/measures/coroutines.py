"""Coroutine jobs that wait 100 ms each, two hundred at a time in each of two processes: from the first one sent to the last one done.

The least that it can take is that of the waiting: 4,000 of them in 400 places are a second.
"""

import time
from collections.abc import Iterator
from functools import partial

from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.processes import split
from benchmarks.worker import running

SUBJECT, SECONDS = "warren", "seconds"
_NAP_SECONDS = 0.1
_PLACES = 200
_LIMIT_SECONDS = 60


def cases(lab: Lab) -> Iterator[Case]:
    """Warren's."""
    if "warren" in lab.systems:
        yield Case("coroutines", SUBJECT, partial(_naps, lab))


def _naps(lab: Lab) -> Quantities:
    system, naps = "warren-coroutines", lab.plan.naps
    with lab.site(prefetch=None, coroutines=_PLACES) as site:
        recorded = lab.record(system, site, "nap", (_NAP_SECONDS,))
        lab.publish(site, recorded, naps)
        with running(system, site) as worker:
            worker.wait_for(naps)
            before, started = worker.cpu(), time.perf_counter()
            lab.publish(site, recorded, naps)
            worker.wait_for(2 * naps, _LIMIT_SECONDS)
            seconds, used = time.perf_counter() - started, split(before, worker.cpu())
    return {SECONDS: seconds} | {f"{part} µs": value for part, value in used.per_job(naps).items()}
