"""What a session has found, as tables for a reader and as JSON for a machine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.claims import CLAIMS, verdict
from benchmarks.figures import Book, Sample
from benchmarks.systems.system import Portrait
from rich.table import Table

_STYLES = {True: "green", False: "red", None: "dim"}


def figures(book: Book) -> Iterable[Table]:
    """Return one table for each measure: subjects down, quantities across."""
    for measure in dict.fromkeys(figure.measure for figure in book):
        found = [figure for figure in book if figure.measure == measure]
        quantities = list(dict.fromkeys(figure.quantity for figure in found))
        cells = {(figure.subject, figure.quantity): str(figure) for figure in found}
        table = Table(measure, *quantities, title_justify="left")
        for subject in dict.fromkeys(figure.subject for figure in found):
            table.add_row(subject, *(cells.get((subject, quantity), "") for quantity in quantities))
        yield table


def claims(book: Book, *, whole: bool = True) -> Table:
    """Return what was needed and what was measured; after a part of a run, only what was measured."""
    table = Table("claim", "needed", "measured", "kept")
    for found in (verdict(claim, book) for claim in CLAIMS):
        if whole or found.kept is not None:
            table.add_row(found.text, found.needed, found.measured, f"[{_STYLES[found.kept]}]{found.word}")
    return table


def conditions(portraits: Iterable[Portrait]) -> Table:
    """Return how each system was set, and what it cannot do."""
    table = Table("system", "versions", "settings", "what it has not")
    for portrait in portraits:
        table.add_row(portrait.name, portrait.version, portrait.settings, portrait.cannot)
    return table


def as_document(
    samples: Sequence[Sample], surroundings: Mapping[str, Any], portraits: Iterable[Portrait]
) -> dict[str, Any]:
    """Return everything, every run by itself."""
    book = Book(samples)
    return {
        "surroundings": dict(surroundings),
        "systems": [{**asdict(portrait), "version": portrait.version} for portrait in portraits],
        "claims": [asdict(verdict(claim, book)) for claim in CLAIMS],
        "figures": [asdict(figure) for figure in book],
        "samples": [asdict(sample) for sample in samples],
    }
