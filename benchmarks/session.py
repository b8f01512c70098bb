"""A session: every case in turn, run after run, so that what disturbs the machine disturbs all alike."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from benchmarks.figures import Sample, short
from benchmarks.lab import Lab
from benchmarks.measures import (
    cold_start,
    coroutines,
    cpu_bound,
    depth,
    drain,
    enqueue,
    fanout,
    latency,
    memory,
    round_trip,
)
from benchmarks.measures.case import Case, Series

MEASURES: Mapping[str, Callable[[Lab], Iterator[Case | Series]]] = {
    "enqueue": enqueue.cases,
    "drain": drain.cases,
    "depth": depth.cases,
    "latency": latency.cases,
    "round-trip": round_trip.cases,
    "cpu-bound": cpu_bound.cases,
    "coroutines": coroutines.cases,
    "fan-out": fanout.cases,
    "cold-start": cold_start.cases,
    "memory": memory.cases,
}


@dataclass(slots=True)
class Findings:
    """What a session has found so far."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run(lab: Lab, measures: Sequence[str], say: Callable[[str], None]) -> Findings:
    """Measure everything; what fails is told and left out, the rest goes on."""
    findings = Findings()
    with ThreadPoolExecutor(lab.plan.side_by_side) as pool:
        try:
            for number in range(1, lab.plan.runs + 1):
                every = [case for name in measures for case in MEASURES[name](lab)]
                cases = [case for case in every if number == lab.plan.runs or not case.once]
                for line in pool.map(partial(_run, findings), cases):
                    say(f"run {number}: {line}")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            say("interrupted: the tables have what was measured until now")
    return findings


def _run(findings: Findings, case: Case | Series) -> str:
    started, name = time.monotonic(), f"{case.measure}, {case.subject}"
    try:
        samples = list(case.samples())
    except Exception as error:  # noqa: BLE001 - a peer that fails must not cost the others their figures
        findings.failures.append(f"{name}: {''.join(traceback.format_exception(error))}")
        return f"{name}: FAILED, {error!r}"
    findings.samples += samples
    values = ", ".join(f"{short(sample.value)} {sample.quantity}" for sample in samples)
    return f"{name}: {values} [{time.monotonic() - started:.1f} s]"
