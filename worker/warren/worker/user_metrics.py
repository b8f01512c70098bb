"""Metrics that tasks make with prometheus-client: differences out of the processes, sums in the parent; no files, no multiprocess mode."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from warren.metrics import Metrics
from warren.worker.frames import Family

_Key = tuple[str, tuple[tuple[str, str], ...]]
_CUMULATIVE = frozenset({"counter", "histogram", "summary"})


def _key(name: str, labels: dict[str, str]) -> _Key:
    return name, tuple(sorted(labels.items()))


class Differences:
    """In a pool process: what a registry's metrics changed since the last look."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._before: dict[_Key, float] = {}

    def take(self) -> list[Family]:
        """Return what changed: differences of counters, histograms and summaries, values of gauges."""
        families = []
        for metric in self._registry.collect():
            samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            # All samples of a metric or none: a histogram is only understood with all its buckets, in their order.
            if any(self._is_news(metric, sample) for sample in samples):
                changes = [self._change(metric, sample) for sample in samples]
                families.append(Family(metric.name, metric.type, metric.documentation, changes))
        return families

    def _is_news(self, metric: Metric, sample: Sample) -> bool:
        unseen = 0.0 if metric.type in _CUMULATIVE else None
        return self._before.get(_key(sample.name, sample.labels), unseen) != sample.value

    def _change(self, metric: Metric, sample: Sample) -> tuple[str, dict[str, str], float]:
        key = _key(sample.name, sample.labels)
        before, self._before[key] = self._before.get(key, 0.0), sample.value
        change = sample.value - before if metric.type in _CUMULATIVE else sample.value
        return sample.name, dict(sample.labels), change


class Sums(Collector):
    """In the parent: what all processes counted; a collector. Gauges show the value said last by any process."""

    def __init__(self, own: Metrics) -> None:
        self._own = own
        self._families: dict[str, Family] = {}
        self._values: dict[str, dict[_Key, tuple[str, dict[str, str], float]]] = {}

    def add(self, families: Iterable[Family]) -> None:
        """Add what one process counted."""
        for family in families:
            if self._add_to_own(family):
                continue
            self._families.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            for name, labels, amount in family.samples:
                key = _key(name, labels)
                before = values[key][2] if key in values and family.kind in _CUMULATIVE else 0.0
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
