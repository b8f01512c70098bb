"""Events as Prometheus metrics, in the parent only; what pool processes count arrives as deltas (see warren.user_metrics)."""

import functools
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample

from warren.events import (
    BrokerConnected,
    BrokerLost,
    Event,
    JobBuried,
    JobEnded,
    JobEnqueued,
    JobInterrupted,
    JobRefused,
    JobsEnqueued,
    JobStarted,
    LoopBlocked,
    ProcessExited,
    Published,
    QueuePaused,
    QueueResumed,
    StaleSettle,
    WorkerReady,
)
from warren.tally import Tallies, Tally

_JOB = ("queue", "task")
_RUN_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_WAIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200, 43200)
_CONFIRM_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)

_TALLIES: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "warren_job_duration_seconds": ("Run time of attempts.", _JOB, _RUN_SECONDS),
    "warren_job_wait_seconds": ("Time from ready to run to started.", _JOB, _WAIT_SECONDS),
    "warren_job_attempts": ("Attempts a job needed to end.", _JOB, (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)),
}
"""The histograms that every job moves."""
_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "warren_publish_confirm_seconds": ("Time from publishing to the broker's confirm.", (), _CONFIRM_SECONDS),
}
_COUNTERS = {
    "warren_jobs_enqueued_total": ("Jobs whose publish was confirmed.", _JOB),
    "warren_jobs_finished_total": ("Attempts that ended, by outcome.", (*_JOB, "outcome")),
    "warren_dead_letters_total": ("Dead letters written.", (*_JOB, "reason")),
    "warren_loop_blocked_total": ("Times a coroutine blocked its event loop for more than a second.", _JOB),
    "warren_pool_exits_total": ("Pool processes that ended.", ("reason",)),
    "warren_broker_reconnects_total": ("Times the broker connection was rebuilt.", ()),
    "warren_stale_acks_total": ("Deliveries whose connection was gone at the ack.", ()),
}
_GAUGES = {
    "warren_jobs_running": ("Jobs being run now.", _JOB),
    "warren_slots": ("Pool processes by state: free, busy, starting.", ("state",)),
    "warren_queue_paused": (
        "1 while this worker takes no jobs of a queue it serves, because that is paused.",
        ("queue",),
    ),
    "warren_pool_size": (
        "Pool processes: how many may be there at least and at most, and how many shall be now.",
        ("bound",),
    ),
    "warren_broker_connected": ("1 while connected and consuming.", ()),
    "warren_build_info": ("Always 1; the versions are labels.", ("version", "python")),
}
METRIC_NAMES = frozenset({*_TALLIES, *_HISTOGRAMS, *_COUNTERS, *_GAUGES})


class Metrics:
    """Every Warren metric on one registry; an event subscriber. Only touched from one thread at a time per metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._of: dict[str, MetricWrapperBase] = {}
        self._tallies = {name: Tallies(name, *described, registry) for name, described in _TALLIES.items()}
        for name, (text, labels, buckets) in _HISTOGRAMS.items():
            self._of[name] = Histogram(name, text, labels, buckets=buckets, registry=registry)
        for name, (text, labels) in _COUNTERS.items():
            self._of[name] = Counter(name, text, labels, registry=registry)
        for name, (text, labels) in _GAUGES.items():
            self._of[name] = Gauge(name, text, labels, registry=registry)
        self._gauge("warren_build_info", package_version(), platform.python_version()).set(1)
        for state in ("free", "busy", "starting"):
            self._gauge("warren_slots", state).set(0)
        self._jobs: dict[tuple[str, str], _JobMetrics] = {}
        self._confirm = self._histogram("warren_publish_confirm_seconds")
        for reason in ("crashed", "killed", "stopped"):
            self._counter("warren_pool_exits_total", reason)

    def show_slots(self, counts: Callable[[], tuple[int, int, int]]) -> None:
        """Show, whenever somebody looks, how many pool processes are free, busy and starting."""
        for place, state in enumerate(("free", "busy", "starting")):
            self._gauge("warren_slots", state).set_function(functools.partial(_number_at, place, counts))

    def show_pool(self, size: Callable[[], int], least: int, most: int) -> None:
        """Show, whenever somebody looks, how many processes the pool shall have."""
        self._gauge("warren_pool_size", "min").set(least)
        self._gauge("warren_pool_size", "max").set(most)
        self._gauge("warren_pool_size", "now").set_function(size)

    def counter(self, name: str) -> Counter | None:
        """Return one of our counters by its sample name, for adding what a pool process counted."""
        found = self._of.get(name)
        return found if isinstance(found, Counter) else None

    def ended(self) -> dict[str, int]:
        """Return how many attempts have ended, by outcome."""
        counted: dict[str, int] = {}
        for sample in self._samples("warren_jobs_finished_total"):
            outcome = sample.labels["outcome"]
            counted[outcome] = counted.get(outcome, 0) + int(sample.value)
        return counted

    def reconnects(self) -> int:
        """Return how often the broker connection was rebuilt."""
        return sum(int(sample.value) for sample in self._samples("warren_broker_reconnects_total"))

    def _samples(self, name: str) -> Iterator[Sample]:
        """What a counter has counted, by labels."""
        for family in self._of[name].collect():
            yield from (sample for sample in family.samples if sample.name == name)

    def __call__(self, event: Event) -> None:  # noqa: C901 - one case an event
        match event:
            case JobStarted():
                job = self._job(event.queue, event.task)
                job.running.inc()
                job.wait.observe(event.waited)
            case JobEnded():
                self._job(event.queue, event.task).ended(event)
            case Published():
                self._confirm.observe(event.seconds)
            case JobEnqueued():
                self._counter("warren_jobs_enqueued_total", event.queue, event.task).inc()
                self._confirm.observe(event.seconds)
            case JobsEnqueued():
                self._counter("warren_jobs_enqueued_total", event.queue, event.task).inc(event.count)
                self._confirm.observe(event.seconds)
            case JobInterrupted():
                self._job(event.queue, event.task).running.dec()
            case JobRefused():
                self._counter("warren_jobs_finished_total", event.queue, _bounded(event), event.outcome).inc()
            case JobBuried():
                self._counter("warren_dead_letters_total", event.queue, _bounded(event), event.reason).inc()
            case ProcessExited():
                self._counter("warren_pool_exits_total", event.reason).inc()
            case LoopBlocked():
                self._counter("warren_loop_blocked_total", event.queue, event.task).inc()
            case StaleSettle():
                self._counter("warren_stale_acks_total").inc()
            case _:
                self._is_now(event)

    def _is_now(self, event: Event) -> None:
        """Take note of an event that sets a state."""
        match event:
            case BrokerConnected():
                self._gauge("warren_broker_connected").set(1)
                if event.again:
                    self._counter("warren_broker_reconnects_total").inc()
            case QueuePaused():
                self._gauge("warren_queue_paused", event.queue).set(1)
            case QueueResumed():
                self._gauge("warren_queue_paused", event.queue).set(0)
            case WorkerReady():
                for queue in event.queues:
                    self._gauge("warren_queue_paused", queue).inc(0)  # shown from now on, paused or not
            case BrokerLost():
                self._gauge("warren_broker_connected").set(0)
            case _:
                pass

    def _job(self, queue: str, task: str) -> "_JobMetrics":
        if (known := self._jobs.get((queue, task))) is None:
            labels = (queue, task)
            known = self._jobs[labels] = _JobMetrics(
                self._gauge("warren_jobs_running", *labels),
                self._tallies["warren_job_wait_seconds"].labels(*labels),
                self._tallies["warren_job_duration_seconds"].labels(*labels),
                self._tallies["warren_job_attempts"].labels(*labels),
                functools.cache(lambda outcome: self._counter("warren_jobs_finished_total", *labels, outcome)),
            )
        return known

    def _counter(self, name: str, *labels: str) -> Counter:
        return self._child(name, labels)  # type: ignore[return-value]

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return self._child(name, labels)  # type: ignore[return-value]

    def _histogram(self, name: str, *labels: str) -> Histogram:
        return self._child(name, labels)  # type: ignore[return-value]

    def _child(self, name: str, labels: tuple[str, ...]) -> MetricWrapperBase:
        metric = self._of[name]
        return metric.labels(*labels) if labels else metric


@dataclass(frozen=True, slots=True)
class _JobMetrics:
    """The metrics of one task on one queue, looked up once: by labels each time, they cost more than the job's own frame."""

    running: Gauge
    wait: Tally
    duration: Tally
    attempts: Tally
    finished: Callable[[str], Counter]

    def ended(self, event: JobEnded) -> None:
        self.running.dec()
        self.finished(event.outcome).inc()
        self.duration.observe(event.seconds)
        if event.delay is None:
            self.attempts.observe(event.attempt)


def _number_at(place: int, counts: Callable[[], tuple[int, int, int]]) -> float:
    return counts()[place]


def _bounded(event: JobRefused | JobBuried) -> str:
    """A task's name as a label, only where it is one of ours: anybody can publish any number of others."""
    return "" if event.reason == "unknown_task" else event.task


class ProducerMetrics:
    """The metrics of an application that only enqueues; an event subscriber."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text, labels = _COUNTERS["warren_jobs_enqueued_total"]
        # Looked up once: by labels each time, a counter costs more than what it counts.
        self._enqueued = functools.cache(Counter("warren_jobs_enqueued_total", text, labels, registry=registry).labels)
        text, labels, buckets = _HISTOGRAMS["warren_publish_confirm_seconds"]
        self._confirm = Histogram("warren_publish_confirm_seconds", text, labels, buckets=buckets, registry=registry)

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobEnqueued):
            self._enqueued(event.queue, event.task).inc()
            self._confirm.observe(event.seconds)
        elif isinstance(event, JobsEnqueued):
            self._enqueued(event.queue, event.task).inc(event.count)
            self._confirm.observe(event.seconds)


@functools.cache
def of_application() -> ProducerMetrics:
    """Return the metrics on prometheus-client's default registry, which the application exposes or not as it likes."""
    return ProducerMetrics(REGISTRY)


def package_version() -> str:
    """Return Warren's version."""
    try:
        return version("warren")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
