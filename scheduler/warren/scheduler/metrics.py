"""Metrics of a scheduler."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from warren.events import Event
from warren.events_schedules import ScheduleFired, ScheduleMissed, ScheduleSkipped

METRIC_NAMES = frozenset(
    {
        "warren_schedule_fired_total",
        "warren_schedule_missed_total",
        "warren_schedule_skipped_total",
        "warren_schedule_late_seconds",
        "warren_schedule_next_due_timestamp_seconds",
    }
)
_LATE_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class SchedulerMetrics:
    """An event subscriber.

    Args:
        registry: on which they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        each = ["schedule"]
        self._fired = Counter(
            "warren_schedule_fired_total", "Jobs that a schedule has enqueued.", each, registry=registry
        )
        self._missed = Counter(
            "warren_schedule_missed_total", "Due times that nobody was there for in time.", each, registry=registry
        )
        self._skipped = Counter(
            "warren_schedule_skipped_total",
            "Due times without a job, as the previous one had not ended.",
            each,
            registry=registry,
        )
        self._late = Histogram(
            "warren_schedule_late_seconds",
            "From the due time to the confirm of the job.",
            buckets=_LATE_SECONDS,
            registry=registry,
        )
        self._next = Gauge(
            "warren_schedule_next_due_timestamp_seconds",
            "When the next schedule is due, as the leading scheduler knows; 0 for none.",
            registry=registry,
        )

    def next_due(self, wake_at: float | None) -> None:
        """Show when the next schedule is due."""
        self._next.set(wake_at or 0.0)

    def __call__(self, event: Event) -> None:
        match event:
            case ScheduleFired():
                self._fired.labels(event.schedule).inc()
                self._late.observe(event.late)
            case ScheduleMissed():
                self._missed.labels(event.schedule).inc(event.missed)
            case ScheduleSkipped():
                self._skipped.labels(event.schedule).inc(event.skipped)
            case _:
                pass
