"""In a pool process: what the metrics of its tasks changed since the last look.

Tasks that make no metrics do not load prometheus-client: it brings an HTTP server and a client, 4 MB and 30 ms a process.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from warren.worker.frames import Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

Key = tuple[str, tuple[tuple[str, str], ...]]
CUMULATIVE = frozenset({"counter", "histogram", "summary"})


def key_of(name: str, labels: dict[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))


class Differences:
    """What changed in a registry, which may not be there yet."""

    def __init__(self, registry: Callable[[], "CollectorRegistry | None"]) -> None:
        self._find = registry
        self._registry: CollectorRegistry | None = None
        self._before: dict[Key, float] = {}
        self._taking = threading.Lock()

    def take(self) -> list[Family]:
        """Return what changed: differences of counters, histograms and summaries, values of gauges."""
        self._registry = self._registry or self._find()
        if self._registry is None:
            return []
        with self._taking:
            return self._changed(self._registry)

    def _changed(self, registry: "CollectorRegistry") -> list[Family]:
        families: list[Family] = []
        for metric in registry.collect():
            samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            # All samples of a metric or none: a histogram is only understood with all its buckets, in their order.
            if any(self._is_news(metric, sample) for sample in samples):
                changes = [self._change(metric, sample) for sample in samples]
                families.append(Family(metric.name, metric.type, metric.documentation, changes))
        return families

    def _is_news(self, metric: "Metric", sample: "Sample") -> bool:
        unseen = 0.0 if metric.type in CUMULATIVE else None
        return self._before.get(key_of(sample.name, sample.labels), unseen) != sample.value

    def _change(self, metric: "Metric", sample: "Sample") -> tuple[str, dict[str, str], float]:
        key = key_of(sample.name, sample.labels)
        before, self._before[key] = self._before.get(key, 0.0), sample.value
        change = sample.value - before if metric.type in CUMULATIVE else sample.value
        return sample.name, dict(sample.labels), change


def own_registry() -> "CollectorRegistry | None":
    """Return the default registry, less what describes the process: only what tasks count is of interest; None when none does."""
    if "prometheus_client" not in sys.modules:
        return None
    import prometheus_client  # noqa: PLC0415 - only when a task has

    registry = prometheus_client.REGISTRY
    for collector in (
        prometheus_client.PROCESS_COLLECTOR,
        prometheus_client.PLATFORM_COLLECTOR,
        prometheus_client.GC_COLLECTOR,
    ):
        with suppress(KeyError):  # the task's module has done so itself
            registry.unregister(collector)
    return registry
