import io

from benchmarks import report
from benchmarks.figures import Book, Sample
from benchmarks.systems.registry import NAMES, portrait
from benchmarks.systems.system import Portrait
from rich.console import Console
from rich.table import Table

SAMPLES = [
    Sample("enqueue", "warren", "jobs/s", 300),
    Sample("enqueue", "warren", "jobs/s", 100),
    Sample("enqueue", "bare", "jobs/s", 250),
    Sample("latency", "warren", "p50 ms", 1.5),
]


def printed(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(table)
    return out.getvalue()


def test_every_measure_has_a_table_of_subjects_by_quantities() -> None:
    enqueue, latency = (printed(table) for table in report.figures(Book(SAMPLES)))
    assert "jobs/s" in enqueue
    assert "200 (100–300)" in enqueue  # noqa: RUF001
    assert "bare" in enqueue
    assert "1.50" in latency


def test_the_table_of_claims_says_yes_no_and_not_measured() -> None:
    text = printed(report.claims(Book([*SAMPLES, Sample("memory", "warren, 9 queued", "growth MB", 3)])))
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "no" in lines["memory, growth with jobs queued"]
    assert "not measured" in lines["fan-out"]


def test_after_a_part_of_a_run_only_its_claims_are_judged() -> None:
    text = printed(report.claims(Book(SAMPLES), whole=False))
    assert "enqueue, each confirmed / bare pika" in text
    assert "not measured" not in text


def test_the_document_keeps_every_run() -> None:
    document = report.as_document(SAMPLES, {"machine": "m"}, [Portrait("warren", ("warren",), "as it is")])
    assert len(document["samples"]) == len(SAMPLES)
    assert document["surroundings"] == {"machine": "m"}
    assert document["systems"][0]["version"].startswith("warren ")


def test_every_system_says_how_it_is_set() -> None:
    assert all(portrait(name).settings for name in NAMES)
