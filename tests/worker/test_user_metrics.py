"""What tasks count in their processes arrives in the parent, summed."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from warren.metrics import Metrics
from warren.worker.differences import Differences
from warren.worker.user_metrics import Sums

deterministic = settings(deadline=None, derandomize=True, database=None)
BUCKETS = (1.0, 10.0)


class Process:
    """What a pool process has: a registry, the task's metrics on it, and the differences it sends."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.sold = Counter("sold", "Sold.", ["what"], registry=registry)
        self.left = Gauge("left", "Left.", ["what"], registry=registry)
        self.sizes = Histogram("sizes", "Sizes.", buckets=BUCKETS, registry=registry)
        self.times = Summary("times", "Times.", registry=registry)
        self._differences = Differences(lambda: registry)

    def send(self, sums: Sums) -> None:
        sums.add(self._differences.take())

    def changes(self) -> set[str]:
        """Return the names of the samples that changed since the last look."""
        return {name for family in self._differences.take() for name, _, _ in family.samples}


class Parent:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sums = Sums(Metrics(self.registry))
        self.registry.register(self.sums)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_only_what_changed_is_sent() -> None:
    process = Process()
    assert process.changes() == set()
    process.sold.labels("a").inc()
    assert process.changes() == {"sold_total"}
    assert process.changes() == set()
    process.left.labels("a").set(0)
    assert process.changes() == {"left"}
    process.left.labels("a").set(0)
    assert process.changes() == set()


def test_counters_of_two_processes_add_up_by_label() -> None:
    parent, one, other = Parent(), Process(), Process()
    one.sold.labels("a").inc(2)
    one.sold.labels("b").inc()
    other.sold.labels("a").inc(5)
    for process in (one, other, one):
        process.send(parent.sums)
    one.sold.labels("a").inc()
    one.send(parent.sums)
    assert (parent.value("sold_total", what="a"), parent.value("sold_total", what="b")) == (8, 1)


def test_a_gauge_shows_what_was_said_last() -> None:
    parent, one, other = Parent(), Process(), Process()
    one.left.labels("a").set(7)
    one.send(parent.sums)
    other.left.labels("a").set(3)
    other.send(parent.sums)
    assert parent.value("left", what="a") == 3
    one.left.labels("a").set(0)
    one.send(parent.sums)
    assert parent.value("left", what="a") == 0


def test_histograms_and_summaries_of_two_processes_add_up() -> None:
    parent, one, other = Parent(), Process(), Process()
    for process, values in ((one, (0.5, 5)), (other, (5, 50))):
        for value in values:
            process.sizes.observe(value)
            process.times.observe(value)
        process.send(parent.sums)
    assert [parent.value("sizes_bucket", le=le) for le in ("1.0", "10.0", "+Inf")] == [1, 3, 4]
    assert (parent.value("sizes_count"), parent.value("sizes_sum")) == (4, 60.5)
    assert (parent.value("times_count"), parent.value("times_sum")) == (4, 60.5)


@deterministic
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 9), st.booleans())))
def test_whatever_processes_count_and_whenever_they_say_it_the_sum_is_right(
    steps: list[tuple[int, str, int, bool]],
) -> None:
    parent, processes = Parent(), [Process() for _ in range(3)]
    for number, what, amount, sends in steps:
        processes[number].sold.labels(what).inc(amount)
        processes[number].sizes.observe(amount)
        if sends:
            processes[number].send(parent.sums)
    for process in processes:
        process.send(parent.sums)
    for what in "ab":
        expected = sum(amount for _, label, amount, _ in steps if label == what)
        assert (parent.value("sold_total", what=what) or 0) == expected
    assert (parent.value("sizes_count") or 0) == len(steps)


def test_a_scrape_can_be_read_again() -> None:
    parent, process = Parent(), Process()
    process.sold.labels('a"\n').inc()
    process.sizes.observe(5)
    process.send(parent.sums)
    families = {family.name: family for family in text_string_to_metric_families(_scrape(parent))}
    assert (families["sold"].type, families["sold"].documentation) == ("counter", "Sold.")
    assert families["sizes"].type == "histogram"


def test_a_histogram_has_all_its_buckets_in_their_order() -> None:
    parent, process = Parent(), Process()
    for value in (50, 5, 0.5):
        process.sizes.observe(value)
        process.send(parent.sums)
        lines = [line for line in _scrape(parent).splitlines() if line.startswith("sizes_bucket")]
        assert [line.partition('"')[2].partition('"')[0] for line in lines] == ["1.0", "10.0", "+Inf"]


def test_jobs_that_a_task_enqueues_count_among_our_own() -> None:
    parent = Parent()
    registry = CollectorRegistry()
    own = Metrics(registry)
    differences = Differences(lambda: registry)
    differences.take()
    enqueued = own.counter("warren_jobs_enqueued_total")
    assert enqueued is not None
    enqueued.labels("q", "m:f").inc(3)
    parent.sums.add(differences.take())
    assert parent.value("warren_jobs_enqueued_total", queue="q", task="m:f") == 3
    assert _scrape(parent).count("# TYPE warren_jobs_enqueued_total") == 1


def _scrape(parent: Parent) -> str:
    return generate_latest(parent.registry).decode()


def test_metrics_that_a_task_makes_later_are_found_then() -> None:
    later: list[CollectorRegistry] = []
    differences = Differences(lambda: later[0] if later else None)
    assert differences.take() == []
    later.append(CollectorRegistry())
    Counter("late", "Late.", registry=later[0]).inc(2)
    assert [family.samples for family in differences.take()] == [[("late_total", {}, 2.0)]]


def test_a_task_may_have_unregistered_the_default_collectors() -> None:
    script = """
import prometheus_client as client
client.REGISTRY.unregister(client.GC_COLLECTOR)
from warren.worker.differences import own_registry
assert own_registry() is client.REGISTRY
"""
    subprocess.run([sys.executable, "-c", script], check=True)
