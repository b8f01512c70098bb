"""Memory of a worker's whole process tree, as the sum of PSS: idle, and with many jobs queued or delayed."""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import apart
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.pool import SPIN_SECONDS
from benchmarks.systems.registry import PEERS
from benchmarks.waiting import wait_until_still
from benchmarks.worker import Worker, running

_MB = 1e6
_STILL_BYTES = 100_000
_WARM, _SLOW_WARM = 200, 20
_WELL_WARM = 2_000
"""Before growth is measured: the first thousand jobs fill caches and the allocator's pools, whatever is queued."""


def cases(lab: Lab) -> Iterator[Case]:
    """Every system idle; Warren with a backlog and with delayed jobs."""
    for name in lab.systems:
        if name in ("warren", *PEERS):
            yield Case("memory", name, partial(_idle, lab, name), once=True)
    if "warren" in lab.systems:
        yield Case("memory", f"warren, {lab.plan.waiting:,} queued", partial(_queued, lab), once=True)
        yield Case("memory", f"warren, {lab.plan.waiting:,} delayed", partial(_delayed, lab), once=True)


def _idle(lab: Lab, name: str) -> Quantities:
    with lab.site() as site:
        lab.fill(name, site, _WARM)
        with running(name, site) as worker:
            worker.wait_for(_WARM)
            return {"MB": _still(worker)}


def _queued(lab: Lab) -> Quantities:
    warm = min(_WELL_WARM, lab.plan.waiting)
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, warm)
        # Jobs of 20 ms, so that they are still there when all are published.
        slow = lab.record("warren", site, "spin", (SPIN_SECONDS,))
        with running("warren", site) as worker:
            worker.wait_for(warm)
            lab.publish(site, slow, _SLOW_WARM)
            worker.wait_for(warm + _SLOW_WARM)
            before = _still(worker)
            lab.publish(site, slow, lab.plan.waiting)
            after = _still(worker)
            lab.purge(site, slow.queue)
    return {"MB": after, "growth MB": after - before}


def _delayed(lab: Lab) -> Quantities:
    warm = min(_WELL_WARM, lab.plan.waiting)
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, warm)
        with running("warren", site) as worker:
            worker.wait_for(warm)
            before = _still(worker)
            apart(site, "warren", "at_once", "delayed", [PAYLOAD], lab.plan.waiting)
            after = _still(worker)
    return {"MB": after, "growth MB": after - before}


def _still(worker: Worker) -> float:
    return wait_until_still(worker.pss, _STILL_BYTES, 60, "the worker's memory is still") / _MB
