"""What a job costs, and how many run a second, while 1,000 to 1,000,000 are waiting."""

from collections.abc import Iterator
from functools import partial

from benchmarks.lab import Lab
from benchmarks.marks import counted
from benchmarks.measures.case import Case, Quantities
from benchmarks.measures.drain import as_quantities, watched
from benchmarks.processes import CpuSplit
from benchmarks.site import Site
from benchmarks.worker import running

_NEARLY = 0.95
_WARM = 0.1
_SECONDS = 30


def cases(lab: Lab) -> Iterator[Case]:
    """Warren at every depth."""
    if "warren" in lab.systems:
        for depth in lab.plan.depths:
            yield Case("depth", f"{depth:,} jobs", partial(_at, lab, depth), once=True)


def _at(lab: Lab, depth: int) -> Quantities:
    """Start on a full queue as often as it takes to see enough jobs, and add up."""
    jobs, used = 0, CpuSplit(0, 0, 0, 0)
    with lab.site(prefetch=None) as site:
        recorded = lab.record("warren", site)
        while jobs < lab.plan.watched * (_NEARLY - _WARM):
            lab.purge(site, recorded.queue)
            lab.publish(site, recorded, depth)
            lab.broker_rests()
            more, spent = _drained(site, min(depth, lab.plan.watched))
            jobs, used = jobs + more, used + spent
        lab.purge(site, recorded.queue)
    quantities = as_quantities(jobs, used)
    return {**quantities, "CPU µs": sum(value for name, value in quantities.items() if name.endswith("µs"))}


def _drained(site: Site, number: int) -> tuple[int, CpuSplit]:
    before = counted(site.folder)
    with running("warren", site) as worker:
        return watched(worker, before + int(number * _WARM), before + int(number * _NEARLY), _SECONDS)
