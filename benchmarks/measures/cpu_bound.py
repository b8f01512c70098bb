"""Jobs that use 20 ms of CPU time each on two processes, beside `multiprocessing.Pool(2)`."""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import fresh
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.measures.drain import as_quantities, watched
from benchmarks.pool import SPARE, SPIN_SECONDS, WARM
from benchmarks.systems.registry import PEERS
from benchmarks.worker import running

_SECONDS = 60


def cases(lab: Lab) -> Iterator[Case]:
    """The pool, Warren, and the peers."""
    yield Case("cpu-bound", "Pool(2)", partial(_pool, lab))
    for name in lab.systems:
        if name in ("warren", *PEERS):
            yield Case("cpu-bound", name, partial(_spin, lab, name))


def _pool(lab: Lab) -> Quantities:
    with lab.site() as site:
        return fresh(site, "benchmarks.pool", "spin", str(lab.plan.spins))


def _spin(lab: Lab, name: str) -> Quantities:
    with lab.site(prefetch=None if name == "warren" else 1) as site:
        lab.fill(name, site, lab.plan.spins + SPARE, "spin", (SPIN_SECONDS,))
        with running(name, site) as worker:
            jobs, used = watched(worker, WARM, lab.plan.spins, _SECONDS)
    return {"jobs/s": as_quantities(jobs, used)["jobs/s"]}
