"""What every benchmark needs: figures with their spread, a broker, a worker."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One result: the median and the extremes of several runs."""

    what: str
    unit: str
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, what: str, unit: str, values: Sequence[float]) -> "Figure":
        return cls(what, unit, statistics.median(values), min(values), max(values))

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def machine() -> str:
    """What it ran on."""
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}"


@contextmanager
def running_broker() -> Iterator[str]:
    """The URL of the configured broker, or of a private one for the time being."""
    configured = os.environ.get("WARREN_URL")
    if configured:
        yield configured
        return
    from warren.console.private_broker import private_broker  # noqa: PLC0415 - not needed with a broker of one's own

    with private_broker() as broker:
        yield broker.url


def namespace() -> str:
    """A namespace nobody else uses."""
    return f"bench{uuid.uuid4().hex[:8]}"


@contextmanager
def worker(url: str, space: str, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `warren worker` that is ready, with the benchmark's tasks."""
    command = [sys.executable, "-m", "warren", "worker", "benchmarks.tasks", "--http-port", "-1", *flags]
    environ = {**os.environ, "WARREN_URL": url, "WARREN_NAMESPACE": space, "WARREN_LOG_FORMAT": "json"}
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, env=environ, stderr=log) as process:
        try:
            while "worker ready" not in os.pread(log.fileno(), 100_000, 0).decode():
                assert process.poll() is None, "the worker ended"
                time.sleep(0.005)
            yield process
        finally:
            process.terminate()
