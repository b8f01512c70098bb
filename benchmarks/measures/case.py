"""What is measured in one go in one run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.figures import Sample

Quantities = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, of whom, and how; `once` where a run takes too long to be repeated."""

    measure: str
    subject: str
    action: Callable[[], Quantities]
    once: bool = False

    def samples(self) -> Iterator[Sample]:
        """Measure."""
        for quantity, value in self.action().items():
            yield Sample(self.measure, self.subject, quantity, value)


@dataclass(frozen=True, slots=True)
class Series:
    """Several subjects, perhaps of several measures, that share what takes long to make."""

    measure: str
    subject: str
    action: Callable[[], Iterator[Sample]]
    once: bool = False

    def samples(self) -> Iterator[Sample]:
        """Measure."""
        return self.action()
