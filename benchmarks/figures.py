"""Samples, and what several of them come to. Pure."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one run: what was measured (`drain`), of whom (`celery`), which quantity and in which unit (`jobs/s`)."""

    measure: str
    subject: str
    quantity: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What a quantity came to in all runs: the median and the extremes."""

    measure: str
    subject: str
    quantity: str
    median: float
    low: float
    high: float
    runs: int

    def __str__(self) -> str:
        spread = f" ({short(self.low)}–{short(self.high)})" if self.runs > 1 else ""  # noqa: RUF001 - a range
        return f"{short(self.median)}{spread}"


Key = tuple[str, str, str]


class Book:
    """All figures of a session, by what, whom and which quantity."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        grouped: dict[Key, list[Sample]] = {}
        for sample in samples:
            grouped.setdefault((sample.measure, sample.subject, sample.quantity), []).append(sample)
        self._figures = {key: _figure(found) for key, found in grouped.items()}

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def get(self, measure: str, subject: str, quantity: str) -> float | None:
        """Return a median; None when it was not measured."""
        figure = self._figures.get((measure, subject, quantity))
        return figure.median if figure else None

    def best(self, measure: str, subjects: Iterable[str], quantity: str, *, least: bool = False) -> float | None:
        """Return the best median of several subjects; None when nobody has one."""
        found = [value for subject in subjects if (value := self.get(measure, subject, quantity)) is not None]
        return (min if least else max)(found, default=None)


def _figure(samples: Sequence[Sample]) -> Figure:
    values = [sample.value for sample in samples]
    first = samples[0]
    where = (first.measure, first.subject, first.quantity)
    return Figure(*where, statistics.median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least of the values that so many per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def short(value: float) -> str:
    """Write a number with three digits that count, and no exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - _magnitude(value))
    return f"{value:,.{digits}f}"


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
