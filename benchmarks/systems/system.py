"""What a system under test is: how its worker is started, and how its jobs are enqueued. One adapter each, all of this form."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

Arguments = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Portrait:
    """What the report says about a system.

    Args:
        name: in tables and on the command line.
        packages: whose versions are told.
        settings: how it is set so that all are under equal conditions.
        cannot: what it lacks of what is measured.
    """

    name: str
    packages: tuple[str, ...]
    settings: str
    cannot: str = ""

    @property
    def version(self) -> str:
        return ", ".join(f"{package} {version(package)}" for package in self.packages)


@dataclass(frozen=True, slots=True)
class Command:
    """How a worker is started."""

    argv: tuple[str, ...]
    environ: dict[str, str]


class System(Protocol):
    """One system on one site. The library is imported by `open`, so only by the process that enqueues."""

    portrait: Portrait

    def worker(self) -> Command:
        """Say how a worker for the site is started."""

    def queue(self) -> str:
        """Name the broker's queue in which its jobs wait."""

    def open(self) -> None:
        """Connect to enqueue."""

    def enqueue(self, job: str, arguments: Arguments) -> None:
        """Enqueue one job; it is confirmed by the broker when this returns."""

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        """Enqueue many jobs by the quickest way the system offers; all are confirmed when this returns."""

    def close(self) -> None:
        """Disconnect."""


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module with this Python."""
    return (sys.executable, "-m", name, *arguments)
