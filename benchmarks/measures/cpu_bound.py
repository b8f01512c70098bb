"""Jobs that use 20 ms of CPU time each, beside `multiprocessing.Pool`: on two processes, and on one.

On a machine with two CPUs the broker and the parent run beside one process, and share the CPUs of two.
"""

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
    """The pool, Warren, and the peers; the least that a queue with processes can do; and the first two by themselves."""
    yield Case("cpu-bound", "Pool(2)", partial(_pool, lab, 2))
    for name in lab.systems:
        if name in ("warren", *PEERS):
            yield Case("cpu-bound", name, partial(_spin, lab, name, 2))
        if name == "bare":
            yield Case("cpu-bound", "bare, a process each", partial(_spin, lab, "bare-processes", 2))
    yield Case("cpu-bound", "Pool(1)", partial(_pool, lab, 1), once=True)
    if "warren" in lab.systems:
        yield Case("cpu-bound", "warren, 1 process", partial(_spin, lab, "warren", 1), once=True)


def _pool(lab: Lab, processes: int) -> Quantities:
    with lab.site(processes=processes) as site:
        return fresh(site, "benchmarks.pool", "spin", str(_number(lab, processes)))


def _spin(lab: Lab, name: str, processes: int) -> Quantities:
    with lab.site(prefetch=None if name == "warren" else 1, processes=processes) as site:
        number = _number(lab, processes)
        lab.fill(name, site, number + SPARE, "spin", (SPIN_SECONDS,))
        with running(name, site) as worker:
            jobs, used = watched(worker, WARM, number, _SECONDS)
    return {"jobs/s": as_quantities(jobs, used)["jobs/s"]}


def _number(lab: Lab, processes: int) -> int:
    """How many jobs: what takes two processes as long as one."""
    return lab.plan.spins * processes // 2
