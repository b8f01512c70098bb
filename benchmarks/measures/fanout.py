"""One trivial function over many items: `Producer.map` and `map_reduce` with a worker of two processes, beside `Pool.map`."""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import apart, fresh
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.processes import cpu_of
from benchmarks.worker import conducting, running

CHUNK = 1000


def cases(lab: Lab) -> Iterator[Case]:
    """Warren and the pool, with chunks of the same size."""
    yield Case("fan-out", "Pool.map", partial(_pool, lab))
    if "warren" in lab.systems:
        yield Case("fan-out", "warren", partial(_warren, lab))
        yield Case("fan-out", "warren, reduced", partial(_reduced, lab))


def _pool(lab: Lab) -> Quantities:
    with lab.site() as site:
        return fresh(site, "benchmarks.pool", "square", str(lab.plan.items), str(CHUNK))


def _warren(lab: Lab) -> Quantities:
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, 1)
        with running("warren", site) as worker:
            worker.wait_for(1)
            before = worker.cpu()
            report = apart(site, "warren", "mapped", lab.plan.items, CHUNK)
            after = worker.cpu()
    used = sum(after.children.values()) - sum(before.children.values())
    return {
        **report,
        "parent µs": (after.parent - before.parent) / lab.plan.items * 1e6,
        "child µs": used / lab.plan.items * 1e6,
    }


def _reduced(lab: Lab) -> Quantities:
    with lab.site(prefetch=None) as site:
        lab.fill("warren", site, 1)
        with running("warren", site) as worker, conducting(site) as scheduler:
            worker.wait_for(1)
            before, moved = worker.cpu(), cpu_of(scheduler)
            report = apart(site, "warren", "reduced", lab.plan.items, CHUNK)
            after, moving = worker.cpu(), cpu_of(scheduler) - moved
    used = sum(after.children.values()) - sum(before.children.values())
    return {
        **report,
        "parent µs": (after.parent - before.parent) / lab.plan.items * 1e6,
        "child µs": used / lab.plan.items * 1e6,
        "scheduler µs": moving / lab.plan.items * 1e6,
    }
