"""Worker processes for the demo, started as an operator would: `warren worker`, watched by their logs and /metrics."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from warren.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 30.0
_STOP_SECONDS = 45.0


class WorkerFailed(Exception):
    """A worker did not start, or ended on its own; the end of its log is in the message."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the workers counted, all together."""

    chunks_retried: int
    processes_crashed: int


@dataclass(slots=True)
class WorkerProcess:
    """One `warren worker` process; its log goes to a file, one JSON object a line."""

    program: subprocess.Popen[bytes]
    log_file: Path

    def metrics_url(self) -> str:
        """Wait until it is ready, and return where it says its metrics are."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            for line in self.log_file.read_text(errors="replace").splitlines():
                if (found := _http_of(line)) is not None:
                    return f"http://127.0.0.1:{found.rpartition(':')[2]}/metrics"
            if self.program.poll() is not None:
                break
            time.sleep(0.05)
        raise WorkerFailed(f"a worker did not become ready; its log ends with\n{self.log_tail()}")

    def check(self) -> None:
        """Raise when it has ended."""
        if self.program.poll() is not None:
            raise WorkerFailed(f"a worker ended by itself; its log ends with\n{self.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def workers(settings: Settings, modules: str, *, number: int, processes: int, logs: Path) -> Iterator["Team"]:
    """Run workers; leaving the block drains them: SIGTERM, and SIGKILL only for one that does not go."""
    team = [_start(settings, modules, processes, logs / f"worker-{place}.log") for place in range(number)]
    try:
        yield Team(team, [worker.metrics_url() for worker in team])
    finally:
        for worker in team:
            worker.program.terminate()
        for worker in team:
            with suppress(subprocess.TimeoutExpired):
                worker.program.wait(_STOP_SECONDS)
            worker.program.kill()
            worker.program.wait()


@dataclass(frozen=True, slots=True)
class Team:
    """Workers that run, and where their metrics are."""

    members: list[WorkerProcess]
    urls: list[str]

    def check(self) -> None:
        """Raise when one has ended."""
        for worker in self.members:
            worker.check()

    def totals(self) -> Totals:
        """Ask every worker's /metrics."""
        retried = sum(_sample(url, "warren_jobs_finished_total", "outcome", "retry") for url in self.urls)
        crashed = sum(_sample(url, "warren_pool_exits_total", "reason", "crashed") for url in self.urls)
        return Totals(int(retried), int(crashed))


def _start(settings: Settings, modules: str, processes: int, log_file: Path) -> WorkerProcess:
    own = {"WARREN_URL": settings.url, "WARREN_NAMESPACE": settings.namespace, "WARREN_LOG_FORMAT": "json"}
    options = ["--processes", str(processes), "--http-port", "0"]
    with log_file.open("wb") as log:
        program = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "warren", "worker", modules, *options],
            env=os.environ | own,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return WorkerProcess(program, log_file)


def _http_of(line: str) -> str | None:
    """The address in the log line `worker ready`, if this is it."""
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict) and said.get("event") == "worker ready":
            return str(said["http"])
    return None


def _sample(url: str, name: str, label: str, value: str) -> float:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own worker
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in found if sample.name == name and sample.labels.get(label) == value)
