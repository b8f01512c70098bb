"""Events move the metrics they should, and labels stay bounded."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.common.happenings import EVENTS, JOB

from warren import events
from warren.events import Event
from warren.metrics import METRIC_NAMES, Metrics, ProducerMetrics, of_application, package_version

LABELS = {"queue": "images", "task": "m:f"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what a scrape shows, without times of creation."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def moved_by(event: Event, metrics: Metrics, registry: CollectorRegistry) -> dict[str, float]:
    """Return by how much one event changed each sample, buckets and sums left out."""
    before = samples(registry)
    metrics(event)
    after = samples(registry)
    changes: dict[str, float] = {}
    for (name, labels), value in after.items():
        change = value - before.get((name, labels), 0.0)
        if change and not name.endswith(("_bucket", "_sum")):
            told = ",".join(value for _, value in labels)
            changes[f"{name}({told})" if told else name] = change
    return changes


MOVES: list[tuple[Event, dict[str, float]]] = [
    (
        events.JobEnqueued(*JOB, 0.01),
        {"warren_jobs_enqueued_total(images,m:f)": 1, "warren_publish_confirm_seconds_count": 1},
    ),
    (
        events.JobStarted(*JOB, 1, 0.5),
        {"warren_jobs_running(images,m:f)": 1, "warren_job_wait_seconds_count(images,m:f)": 1},
    ),
    (
        events.JobEnded(*JOB, 2, "done", 1.5),
        {
            "warren_jobs_running(images,m:f)": -1,
            "warren_jobs_finished_total(done,images,m:f)": 1,
            "warren_job_duration_seconds_count(images,m:f)": 1,
            "warren_job_attempts_count(images,m:f)": 1,
        },
    ),
    (
        events.JobEnded(*JOB, 2, "retry", 1.5, "no", 5.0),
        {
            "warren_jobs_running(images,m:f)": -1,
            "warren_jobs_finished_total(retry,images,m:f)": 1,
            "warren_job_duration_seconds_count(images,m:f)": 1,
        },
    ),
    (events.JobInterrupted(*JOB), {"warren_jobs_running(images,m:f)": -1}),
    (
        events.JobRefused(*JOB, "expired", "expired", "late"),
        {"warren_jobs_finished_total(expired,images,m:f)": 1},
    ),
    (events.JobBuried(*JOB, "failed", "no"), {"warren_dead_letters_total(images,failed,m:f)": 1}),
    (events.Published(0.1), {"warren_publish_confirm_seconds_count": 1}),
    (events.ProcessExited(1, 0, "killed", "limit"), {"warren_pool_exits_total(killed)": 1}),
    (events.StaleSettle("id", "images"), {"warren_stale_acks_total": 1}),
    (events.BrokerConnected("b", again=False), {"warren_broker_connected": 1}),
    (events.BrokerConnected("b", again=True), {"warren_broker_connected": 1, "warren_broker_reconnects_total": 1}),
    (events.BrokerLost("gone", 1.0), {}),
    (events.WorkerStopped(1, 0), {}),
]


@pytest.mark.parametrize(
    ("event", "moves"), MOVES, ids=[f"{n}-{type(event).__name__}" for n, (event, _) in enumerate(MOVES)]
)
def test_an_event_moves_its_metrics_and_no_others(
    event: Event, moves: dict[str, float], metrics: Metrics, registry: CollectorRegistry
) -> None:
    assert moved_by(event, metrics, registry) == moves


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_taken(event: Event, metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics(event)
    assert generate_latest(registry)


def test_a_lost_broker_is_not_connected(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics(events.BrokerConnected("b", again=False))
    metrics(events.BrokerLost("gone", 1.0))
    assert registry.get_sample_value("warren_broker_connected") == 0


def test_every_name_is_exposed_from_the_beginning(metrics: Metrics, registry: CollectorRegistry) -> None:
    exposed = {line.split()[2] for line in generate_latest(registry).decode().splitlines() if line.startswith("# TYPE")}
    assert exposed >= METRIC_NAMES


def test_what_has_few_labels_is_there_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    for state in ("free", "busy", "starting"):
        assert registry.get_sample_value("warren_slots", {"state": state}) == 0
    for reason in ("crashed", "killed", "stopped"):
        assert registry.get_sample_value("warren_pool_exits_total", {"reason": reason}) == 0
    for name in ("warren_stale_acks_total", "warren_broker_reconnects_total", "warren_broker_connected"):
        assert registry.get_sample_value(name) == 0


def test_slots_are_counted_when_somebody_looks(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.show_slots(lambda: (1, 2, 3))
    found = [registry.get_sample_value("warren_slots", {"state": state}) for state in ("free", "busy", "starting")]
    assert found == [1, 2, 3]


def test_the_build_is_told(metrics: Metrics, registry: CollectorRegistry) -> None:
    import platform

    labels = {"version": package_version(), "python": platform.python_version()}
    assert registry.get_sample_value("warren_build_info", labels) == 1


def test_unknown_task_names_never_become_labels(metrics: Metrics, registry: CollectorRegistry) -> None:
    for number in range(100):
        job = (str(number), f"evil:{number}", "images")
        metrics(events.JobRefused(*job, "rejected", "unknown_task", "no such task"))
        metrics(events.JobBuried(*job, "unknown_task", "no such task"))
    assert "evil" not in generate_latest(registry).decode()
    labels = {"queue": "images", "task": "", "outcome": "rejected"}
    assert registry.get_sample_value("warren_jobs_finished_total", labels) == 100


def test_only_counters_are_handed_out_for_adding_to(metrics: Metrics) -> None:
    counter = metrics.counter("warren_jobs_enqueued_total")
    assert counter is not None
    counter.labels(**LABELS).inc(3)
    assert metrics.counter("warren_slots") is None
    assert metrics.counter("nothing") is None


def test_an_application_counts_what_it_enqueues() -> None:
    registry = CollectorRegistry()
    metrics = ProducerMetrics(registry)
    for event in EVENTS:
        metrics(event)
    assert registry.get_sample_value("warren_jobs_enqueued_total", LABELS) == 1 + 50
    assert registry.get_sample_value("warren_publish_confirm_seconds_count") == 2


def test_an_application_has_its_metrics_once() -> None:
    assert of_application() is of_application()


def test_what_ended_is_counted_by_outcome_over_all_tasks(metrics: Metrics) -> None:
    for task, outcome in (("m:f", "done"), ("m:g", "done"), ("m:f", "failed")):
        metrics(events.JobEnded("id", task, "images", 1, outcome, 0.1))
    assert metrics.ended() == {"done": 2, "failed": 1}


def test_reconnects_are_counted_apart_from_the_first_connection(metrics: Metrics) -> None:
    metrics(events.BrokerConnected("amqp://h", again=False))
    assert metrics.reconnects() == 0
    metrics(events.BrokerConnected("amqp://h", again=True))
    assert metrics.reconnects() == 1
