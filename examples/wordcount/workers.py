"""The demo's workers, and what they counted."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.stage.daemons import Daemon, daemons
from prometheus_client.parser import text_string_to_metric_families

from warren.settings import Settings


@dataclass(frozen=True, slots=True)
class Totals:
    """What the workers counted, all together."""

    chunks_retried: int
    processes_crashed: int


@contextmanager
def workers(settings: Settings, modules: str, *, number: int, processes: int, logs: Path) -> Iterator["Team"]:
    """Run workers; leaving the block drains them."""
    command = ("worker", modules, "--processes", str(processes))
    with daemons(settings, *[command] * number, logs=logs) as team:
        yield Team(team)


@dataclass(frozen=True, slots=True)
class Team:
    """Workers that run."""

    members: list[Daemon]

    def check(self) -> None:
        """Raise when one has ended."""
        for worker in self.members:
            worker.check()

    def totals(self) -> Totals:
        """Ask every worker's /metrics."""
        urls = [worker.metrics_url for worker in self.members]
        retried = sum(_sample(url, "warren_jobs_finished_total", "outcome", "retry") for url in urls)
        crashed = sum(_sample(url, "warren_pool_exits_total", "reason", "crashed") for url in urls)
        return Totals(int(retried), int(crashed))


def _sample(url: str, name: str, label: str, value: str) -> float:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own worker
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in found if sample.name == name and sample.labels.get(label) == value)
