"""What Warren claims about its speed, each as a ratio within one run: needed, measured, yes or no. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Book, short
from benchmarks.systems.registry import PEERS

PEERS_DRAINING = tuple(f"{peer}, prefetch 1" for peer in PEERS)
DEPTH, ROUND_TRIP = "depth", "round trip"

Measured = Callable[[Book], float | None]


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the table.

    Args:
        text: what is compared with what.
        needed: the bound.
        measured: the figure out of a book; None when the run did not have what it takes.
        at_most: the bound is an upper one.
        unit: after the numbers.
    """

    text: str
    needed: float
    measured: Measured
    at_most: bool = False
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim after a run."""

    text: str
    needed: str
    measured: str
    kept: bool | None

    @property
    def word(self) -> str:
        return {True: "yes", False: "no", None: "not measured"}[self.kept]


def verdict(claim: Claim, book: Book) -> Verdict:
    """Judge one claim."""
    value = claim.measured(book)
    needed = f"{'≤' if claim.at_most else '≥'} {short(claim.needed)} {claim.unit}"
    if value is None:
        return Verdict(claim.text, needed, "–", None)  # noqa: RUF001 - a dash
    kept = value <= claim.needed if claim.at_most else value >= claim.needed
    return Verdict(claim.text, needed, f"{short(value)} {claim.unit}", kept)


def ratio(above: float | None, below: float | None) -> float | None:
    """Divide where both were measured."""
    return above / below if above is not None and below else None


def against(measure: str, quantity: str, *others: str, subject: str = "warren", least: bool = False) -> Measured:
    """Return a subject's figure as a multiple of the best of the others."""
    return lambda book: ratio(book.get(measure, subject, quantity), book.best(measure, others, quantity, least=least))


def best_batch(book: Book) -> float | None:
    """Return the most jobs a second that any peer enqueues, in batches if it has them."""
    found = (book.best(measure, PEERS, "jobs/s") for measure in ("enqueue", "enqueue many"))
    return max((value for value in found if value is not None), default=None)


def worker_cpu(book: Book) -> float | None:
    """Return CPU microseconds a job of parent and children."""
    parts = [book.get("drain", "warren", f"{part} µs") for part in ("parent", "child")]
    return None if None in parts else sum(part for part in parts if part is not None)


def parts_of_round_trip(book: Book) -> float | None:
    """Return the round trip as a multiple of its parts: to the job's first line, and a bare publish delivered."""
    start = book.get(ROUND_TRIP, "warren", "start p50 ms")
    back = book.get(ROUND_TRIP, "bare, one way", "p50 ms")
    whole = book.get(ROUND_TRIP, "warren", "p50 ms")
    return ratio(whole, start + back) if start is not None and back is not None else None


def spread_over_depths(quantity: str) -> Measured:
    """Return the largest difference between two depths, in per cent of the smaller figure."""

    def measured(book: Book) -> float | None:
        values = [figure.median for figure in book if (figure.measure, figure.quantity) == (DEPTH, quantity)]
        return (max(values) / min(values) - 1) * 100 if values else None

    return measured


def growth(how: str) -> Measured:
    """Return by how much the worker's memory grew with jobs `queued` or `delayed`."""

    def measured(book: Book) -> float | None:
        found = [figure.median for figure in book if figure.quantity == "growth MB" and figure.subject.endswith(how)]
        return max(found, default=None)

    return measured


_MANY, _PREFETCH_1 = "enqueue many", "warren, read-ahead 0"

CLAIMS = (
    Claim("enqueue, each confirmed / best peer", 1.15, against("enqueue", "jobs/s", *PEERS)),
    Claim("enqueue, each confirmed / bare pika", 0.85, against("enqueue", "jobs/s", "bare")),
    Claim("enqueue_many / best peer", 4, lambda book: ratio(book.get(_MANY, "warren", "jobs/s"), best_batch(book))),
    Claim("enqueue_many / bare pika, pipelined", 0.5, against(_MANY, "jobs/s", "bare")),
    Claim("AsyncProducer, gather / enqueue_many", 0.7, against(_MANY, "jobs/s", "warren", subject="warren-async")),
    Claim(
        "drain, read-ahead 0 / best peer at prefetch 1",
        1,
        against("drain", "jobs/s", *PEERS_DRAINING, subject=_PREFETCH_1),
    ),
    Claim(
        "drain, read-ahead 0 / bare pika, prefetch 1",
        0.85,
        against("drain", "jobs/s", "bare, prefetch 1", subject=_PREFETCH_1),
    ),
    Claim("drain / best peer at prefetch 1", 5, against("drain", "jobs/s", *PEERS_DRAINING)),
    Claim("drain / dramatiq, prefetch 100, classic", 1, against("drain", "jobs/s", "dramatiq, prefetch 100, classic")),
    Claim("drain: CPU of parent and child a job", 180, worker_cpu, at_most=True, unit="µs"),
    Claim(
        "latency at a steady rate, p50 / best peer", 1, against("latency", "p50 ms", *PEERS, least=True), at_most=True
    ),
    Claim(
        "latency at a steady rate, p99 / best peer", 1, against("latency", "p99 ms", *PEERS, least=True), at_most=True
    ),
    Claim("round trip / its parts", 1.5, parts_of_round_trip, at_most=True),
    Claim("20 ms CPU jobs / multiprocessing.Pool", 0.97, against("cpu-bound", "jobs/s", "Pool(2)")),
    Claim(
        "20 ms CPU jobs on one process / Pool(1)",
        0.97,
        against("cpu-bound", "jobs/s", "Pool(1)", subject="warren, 1 process"),
    ),
    Claim(
        "4,000 coroutines of 100 ms, 2 x 200 at a time",
        3,
        lambda book: book.get("coroutines", "warren", "seconds"),
        at_most=True,
        unit="s",
    ),
    Claim("fan-out", 100_000, lambda book: book.get("fan-out", "warren", "items/s"), unit="items/s"),
    Claim(
        "map and reduce in a tree",
        100_000,
        lambda book: book.get("fan-out", "warren, reduced", "items/s"),
        unit="items/s",
    ),
    Claim("memory, idle / celery prefork", 1, against("memory", "MB", "celery"), at_most=True),
    Claim("memory, growth with jobs queued", 2, growth("queued"), at_most=True, unit="MB"),
    Claim("memory, growth with jobs delayed", 2, growth("delayed"), at_most=True, unit="MB"),
    Claim("cost a job over all depths", 15, spread_over_depths("CPU µs"), at_most=True, unit="% apart"),
    Claim("jobs/s over all depths", 15, spread_over_depths("jobs/s"), at_most=True, unit="% apart"),
)
