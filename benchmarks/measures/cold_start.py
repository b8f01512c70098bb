"""From nothing: a worker until its first job has run, an application until its first job is enqueued, `--help`."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.apart import apart
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.measures.case import Case, Quantities
from benchmarks.systems.registry import PEERS
from benchmarks.systems.system import module
from benchmarks.worker import running

_FINE_SECONDS = 0.001


def cases(lab: Lab) -> Iterator[Case]:
    """Every system, and the bare interpreter."""
    for name in lab.systems:
        if name in ("warren", *PEERS):
            yield Case("cold start", name, partial(_start, lab, name))
    yield Case("cold start", "python -c pass", lambda: {"--help ms": _took([sys.executable, "-c", "pass"])})


def _start(lab: Lab, name: str) -> Quantities:
    with lab.site() as site:
        started = time.perf_counter()
        apart(site, name, "one", "nothing", [PAYLOAD])
        enqueued = time.perf_counter() - started
        with running(name, site) as worker:
            worker.wait_for(1, poll=_FINE_SECONDS)
            ready = time.perf_counter() - worker.started
    return {
        "worker's first job ms": ready * 1000,
        "first enqueue ms": enqueued * 1000,
        "--help ms": _took(module(name, "--help")),
    }


def _took(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000
