"""Memory of a worker's whole process tree, as the sum of PSS: idle, and with many jobs delayed.

How it grows with jobs that are queued is measured where the queue is filled for another reason: in `depth`.
"""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.apart import apart
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.systems.registry import PEERS
from benchmarks.waiting import wait_until_still
from benchmarks.worker import running

MB = 1e6
_STILL_BYTES = 100_000
_WARM = 200
WELL_WARM = 5_000
"""Before growth is measured: the first thousands of jobs fill caches and the allocator's pools, whatever is queued."""


def cases(lab: Lab) -> Iterator[Case]:
    """Every system idle, as it runs best: Warren by default, the others at prefetch 1; Warren with delayed jobs."""
    for name in lab.systems:
        if name in ("warren", *PEERS):
            yield Case("memory", name, partial(_idle, lab, name), once=True)
    if "warren" in lab.systems:
        yield Case("memory", f"warren, {lab.plan.waiting:,} delayed", partial(_delayed, lab), once=True)


def _idle(lab: Lab, name: str) -> Quantities:
    with lab.site(prefetch=None if name == "warren" else 1) as site:
        lab.fill(name, site, _WARM)
        with running(name, site) as worker:
            worker.wait_for(_WARM)
            return {"MB": still(worker.pss) / MB}


def _delayed(lab: Lab) -> Quantities:
    warm = min(WELL_WARM, lab.plan.waiting)
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, warm)
        with running("warren", site) as worker:
            worker.wait_for(warm)
            before = still(worker.own_pss)
            apart(site, "warren", "at_once", "delayed", [PAYLOAD], lab.plan.waiting)
            after = still(worker.own_pss)
    return {"growth MB": (after - before) / MB}


def still(memory: Callable[[], int]) -> float:
    """Return a memory in bytes when it no longer changes."""
    return wait_until_still(memory, _STILL_BYTES, 60, "the worker's memory is still")
