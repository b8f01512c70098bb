"""Metrics of a recorder."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from warren.events import Event
from warren.events_history import BatchRecorded, HistoryDropped, NotRecorded

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

METRIC_NAMES = frozenset(
    {
        "warren_recorder_messages_total",
        "warren_recorder_facts_total",
        "warren_recorder_skipped_total",
        "warren_recorder_dropped_total",
        "warren_recorder_lag_seconds",
        "warren_recorder_batch_seconds",
    }
)


class RecorderMetrics:
    """An event subscriber.

    Args:
        registry: on which they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, registry=registry)

        self._messages = counter("warren_recorder_messages_total", "Messages that are in the store.")
        self._facts = counter("warren_recorder_facts_total", "What these told of jobs.")
        self._skipped = counter("warren_recorder_skipped_total", "Messages that were not understood.")
        self._dropped = counter(
            "warren_recorder_dropped_total", "Messages that the stream dropped before they were recorded."
        )
        self._lag = Gauge("warren_recorder_lag_seconds", "How far the store is behind what happens.", registry=registry)
        self._batch = Histogram(
            "warren_recorder_batch_seconds", "Time to write a batch.", buckets=_SECONDS, registry=registry
        )

    def show_lag(self, lag: Callable[[], float]) -> None:
        """Show, whenever somebody looks, how far the store is behind."""
        self._lag.set_function(lag)

    def __call__(self, event: Event) -> None:
        match event:
            case BatchRecorded():
                self._messages.inc(event.messages)
                self._facts.inc(event.facts)
                self._batch.observe(event.seconds)
            case NotRecorded():
                self._skipped.inc(event.messages)
            case HistoryDropped():
                self._dropped.inc(event.messages)
            case _:
                pass
