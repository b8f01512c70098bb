"""A tally shows what prometheus-client's own histogram shows."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from warren.tally import Tallies

BOUNDS = (0.005, 0.1, 1.0, 2.5)
values = st.sampled_from(BOUNDS) | st.floats(0, 10) | st.integers(0, 5)


def exposed(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), values)))
def test_it_is_exposed_as_a_histogram_of_the_library_is(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies("some_seconds", "Some text.", ("queue",), BOUNDS, ours)
    histogram = Histogram("some_seconds", "Some text.", ("queue",), buckets=BOUNDS, registry=theirs)
    for label, value in observed:
        tallies.labels(label).observe(value)
        histogram.labels(label).observe(value)
    assert exposed(ours) == exposed(theirs)
