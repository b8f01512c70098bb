"""Histograms that are counted in plain numbers and become Prometheus' when somebody asks.

prometheus-client's own takes a lock twice and a microsecond or two for each value, which is felt where a whole job costs a hundred.
"""

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Tally:
    """The values of one set of labels; counted in one thread, read from any."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many values each bucket and those below it have, by its bound as text; and the sum of all."""
        total, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
        return buckets, self._sum


class Tallies:
    """A histogram: its tallies by their labels. A collector of prometheus-client's."""

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._of: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """Return the tally of these labels' values."""
        return self._of.setdefault(values, Tally(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the histogram as it is now."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, tally in list(self._of.items()):
            buckets, total = tally.read()
            family.add_metric(values, buckets, total)
        return [family]
