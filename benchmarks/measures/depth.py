"""What a job costs, and how many run a second, while 1,000 to 1,000,000 are waiting; and what a worker's memory does meanwhile.

Each depth has a broker, a queue and a warm worker of its own, so that what a million messages do to a broker is not shared by
the others. Every job passes a gate, which is closed while the queue is filled up to its depth. When the brokers rest, one gate
after the other is opened; once the worker has its pace again some hundred jobs are watched: a window. All windows are
alike but for what waits behind them, and those of a round are a fraction of a second apart, so that what disturbs the machine
disturbs all depths. A depth's figures are the medians of its windows.
"""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.figures import Sample
from benchmarks.gate import Gate
from benchmarks.lab import Lab, Recorded
from benchmarks.measures.case import Quantities, Series
from benchmarks.measures.drain import as_quantities, watched
from benchmarks.measures.memory import MB, WELL_WARM, still
from benchmarks.processes import cpu_of
from benchmarks.site import Site
from benchmarks.waiting import wait_until_still
from benchmarks.worker import Worker, running

_NEARLY = 0.95
_SECONDS = 30
_REST_SECONDS, _PAUSE_SECONDS = 120, 0.2


def cases(lab: Lab) -> Iterator[Series]:
    """Warren at every depth, and the growth of its memory from nothing to the greatest."""
    if "warren" in lab.systems:
        yield Series(
            "depth", f"{min(lab.plan.depths):,} to {max(lab.plan.depths):,} jobs", partial(_all, lab), once=True
        )


class _Basin:
    """A queue that is filled to a depth, and a worker that can be held."""

    def __init__(self, depth: int, lab: Lab, site: Site, worker: Worker, recorded: Recorded) -> None:
        self.depth = depth
        self.worker = worker
        self.broker_pid = lab.broker_pid
        self.windows: list[Quantities] = []
        self._lab, self._site, self._recorded = lab, site, recorded
        self._gate = Gate(site.folder)
        self._given = 0

    def warm(self) -> None:
        """Have some thousand jobs run, then hold the worker."""
        self._give(min(WELL_WARM, max(self._lab.plan.depths)))
        self.worker.wait_for(self._given)
        self._gate.close()

    def fill(self) -> None:
        """Have as many jobs wait as the depth says."""
        self._give(self.depth - (self._given - self.worker.count))

    def watch(self, jobs: int) -> None:
        """Let the worker go, watch it run so many jobs, and hold it again."""
        first = self.worker.count + self._lab.plan.warm
        self._gate.open()
        seen = watched(self.worker, first, first + jobs, _SECONDS)
        self._gate.close()
        found = as_quantities(*seen)
        cpu = sum(value for name, value in found.items() if name.endswith("µs"))
        self.windows.append({**found, "CPU µs": cpu})

    def samples(self) -> Iterator[Sample]:
        """Yield the medians of the windows."""
        for quantity in self.windows[0]:
            value = statistics.median(window[quantity] for window in self.windows)
            yield Sample("depth", f"{self.depth:,} jobs", quantity, value)

    def _give(self, jobs: int) -> None:
        self._lab.publish(self._site, self._recorded, jobs)
        self._given += jobs


def _all(lab: Lab) -> Iterator[Sample]:
    plan = lab.plan
    jobs = int(min(plan.depths) * _NEARLY) - plan.warm
    with ExitStack() as stack:
        basins = [stack.enter_context(_basin(lab, depth)) for depth in sorted(plan.depths)]
        for basin in basins:
            basin.warm()
        deepest = basins[-1]
        before = still(deepest.worker.own_pss)
        for number in range(plan.windows):
            for basin in basins:
                basin.fill()
            _rest(basins, plan.rest)
            turn = number % len(basins)  # nobody is always the first
            for basin in basins[turn:] + basins[:turn]:
                basin.watch(jobs)
        deepest.fill()
        after = still(deepest.worker.own_pss)
    for basin in basins:
        yield from basin.samples()
    yield Sample("memory", f"warren, {deepest.depth:,} queued", "growth MB", (after - before) / MB)


@contextmanager
def _basin(lab: Lab, depth: int) -> Iterator[_Basin]:
    with lab.another() as own, own.site(prefetch=None) as site:
        recorded = own.record("warren", site, "gated")
        with running("warren", site) as worker:
            yield _Basin(depth, own, site, worker, recorded)


def _rest(basins: Sequence[_Basin], share: float) -> None:
    """Return when the brokers have written their segments and taken their checkpoints."""

    def used() -> float:
        return sum(cpu_of(basin.broker_pid) for basin in basins)

    wait_until_still(used, share * _PAUSE_SECONDS * len(basins), _REST_SECONDS, "the brokers rest", _PAUSE_SECONDS)
