"""Metrics that tasks make with prometheus-client: differences out of the processes, sums in the parent; no files, no multiprocess mode."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from warren.metrics import Metrics
from warren.worker.differences import CUMULATIVE, Key, key_of
from warren.worker.frames import Family


class Sums(Collector):
    """In the parent: what all processes counted; a collector. Gauges show the value said last by any process."""

    def __init__(self, own: Metrics) -> None:
        self._own = own
        self._families: dict[str, Family] = {}
        self._values: dict[str, dict[Key, tuple[str, dict[str, str], float]]] = {}

    def add(self, families: Iterable[Family]) -> None:
        """Add what one process counted."""
        for family in families:
            if self._add_to_own(family):
                continue
            self._families.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            for name, labels, amount in family.samples:
                key = key_of(name, labels)
                before = values[key][2] if key in values and family.kind in CUMULATIVE else 0.0
                values[key] = (name, labels, before + amount)

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of every process, summed."""
        for name, family in list(self._families.items()):
            metric = Metric(name, family.text, family.kind)
            for sample, labels, value in list(self._values[name].values()):
                metric.add_sample(sample, labels, value)
            yield metric

    def _add_to_own(self, family: Family) -> bool:
        """A task that enqueues further jobs counts them in its process: they belong to the parent's own counter."""
        if not family.name.startswith("warren_"):
            return False
        for name, labels, amount in family.samples:
            counter = self._own.counter(name)
            if counter is not None:
                counter.labels(**labels).inc(amount)
        return True
