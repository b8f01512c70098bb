"""From just before a job is enqueued to its first line, at a steady rate that nobody finds hard."""

from collections.abc import Iterator
from functools import partial

from benchmarks.apart import apart
from benchmarks.figures import percentile
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.marks import noted
from benchmarks.measures.case import Case, Quantities
from benchmarks.worker import running

_WARM = 0.1
"""The first tenth is left out: connections, processes and caches warm up."""


def cases(lab: Lab) -> Iterator[Case]:
    """Every system that has workers, each as it runs best: Warren by default, the others at prefetch 1."""
    for name in lab.systems:
        if name != "warren-async":
            yield Case("latency", name, partial(_latency, lab, name))


def _latency(lab: Lab, name: str) -> Quantities:
    plan = lab.plan
    with lab.site(prefetch=None if name == "warren" else 1) as site:
        lab.fill(name, site, 1)
        with running(name, site) as worker:
            worker.wait_for(1)
            apart(site, name, "steadily", "late", PAYLOAD, plan.paced, plan.rate)
            worker.wait_for(1 + plan.paced)
        values = noted(site.folder)[int(plan.paced * _WARM) :]
    return {f"p{percent} ms": percentile(values, percent) * 1000 for percent in (50, 99)}
