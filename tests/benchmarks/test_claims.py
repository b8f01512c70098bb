import pytest
from benchmarks.claims import CLAIMS, Claim, Verdict, ratio, spread_over_depths, verdict
from benchmarks.figures import Book, Sample
from benchmarks.systems.registry import PEERS


def book(*found: tuple[str, str, str, float]) -> Book:
    return Book([Sample(*each) for each in found])


def judged(text: str, of: Book) -> Verdict:
    return next(verdict(claim, of) for claim in CLAIMS if claim.text == text)


def test_a_claim_is_kept_at_its_bound_and_not_beyond_it() -> None:
    def at(value: float, *, at_most: bool) -> bool | None:
        return verdict(Claim("", 2.0, lambda _: value, at_most=at_most), book()).kept

    assert (at(2.0, at_most=False), at(1.99, at_most=False)) == (True, False)
    assert (at(2.0, at_most=True), at(2.01, at_most=True)) == (True, False)


def test_a_claim_without_its_figures_is_not_measured_rather_than_kept() -> None:
    assert {verdict(claim, book()).word for claim in CLAIMS} == {"not measured"}


def test_one_figure_of_two_is_not_enough() -> None:
    assert judged("enqueue, each confirmed / bare pika", book(("enqueue", "warren", "jobs/s", 100))).kept is None
    assert ratio(1.0, 0.0) is None


def test_rates_are_compared_with_the_quickest_peer() -> None:
    found = book(*(("enqueue", peer, "jobs/s", rate) for peer, rate in zip(PEERS, (100, 200, 50), strict=True)))
    assert judged("enqueue, each confirmed / best peer", found).kept is None
    found = book(
        ("enqueue", "warren", "jobs/s", 250), ("enqueue", "celery", "jobs/s", 100), ("enqueue", "taskiq", "jobs/s", 200)
    )
    assert judged("enqueue, each confirmed / best peer", found).measured == "1.25 x"


def test_latencies_are_compared_with_the_shortest_of_the_peers() -> None:
    found = book(*(("latency", name, "p99 ms", value) for name, value in (("warren", 3), ("celery", 2), ("taskiq", 4))))
    assert judged("latency at a steady rate, p99 / best peer", found) == Verdict(
        "latency at a steady rate, p99 / best peer", "≤ 1.00 x", "1.50 x", kept=False
    )


def test_batches_are_compared_with_single_jobs_of_a_peer_that_is_quicker_so() -> None:
    found = book(
        ("enqueue many", "warren", "jobs/s", 8000),
        ("enqueue many", "taskiq", "jobs/s", 1000),
        ("enqueue", "dramatiq", "jobs/s", 2000),
    )
    assert judged("enqueue_many / best peer", found).measured == "4.00 x"


def test_the_workers_cpu_is_parent_and_children_without_the_broker() -> None:
    found = book(*(("drain", "warren", f"{part} µs", 70) for part in ("parent", "child", "broker")))
    assert judged("drain: CPU of parent and child a job", found).measured == "140 µs"


def test_the_round_trips_parts_are_the_start_and_a_bare_way_back() -> None:
    found = book(
        ("round trip", "warren", "p50 ms", 3.0),
        ("round trip", "warren", "start p50 ms", 1.5),
        ("round trip", "warren", "enqueue p50 ms", 1.0),
        ("round trip", "bare, one way", "p50 ms", 0.5),
    )
    assert judged("round trip / its parts", found).measured == "1.50 x"


def test_the_spread_over_depths_is_between_the_two_that_differ_most() -> None:
    found = book(*(("depth", f"{depth} jobs", "jobs/s", rate) for depth, rate in ((1, 100), (10, 110), (100, 105))))
    assert spread_over_depths("jobs/s")(found) == pytest.approx(10)


def test_growth_is_told_apart_by_where_the_jobs_wait() -> None:
    found = book(("memory", "warren, 9 queued", "growth MB", 1.0), ("memory", "warren, 9 delayed", "growth MB", 3.0))
    assert (
        judged("memory, growth with jobs queued", found).kept,
        judged("memory, growth with jobs delayed", found).kept,
    ) == (
        True,
        False,
    )
