"""Real workers in real processes, for tests that hurt them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from tests.support import Broker, eventually

from warren.console.private_broker import PrivateBroker
from warren.producer import Producer

ROOT = Path(__file__).parent.parent.parent
JOBS = "tests.faults.jobs"


class WorkerProcess:
    """One `warren worker` with its log.

    Its standard output goes there as well, unless `stdout` is a descriptor; it is at a terminal if it is given one's descriptor.
    """

    def __init__(self, url: str, namespace: str, log: Path, *modules: str, **settings: object) -> None:
        stdout, terminal = settings.pop("stdout", None), settings.pop("terminal", None)
        options = {"http_port": 0, "http_host": "127.0.0.1", "processes": 2, "log_level": "debug", **settings}
        self._size = options["processes"]
        flags = [part for name, value in options.items() for part in _flag(name, value)]
        command = [sys.executable, "-m", "warren", "worker", *(modules or (JOBS,)), *flags]
        environ = {**os.environ, "WARREN_URL": url, "WARREN_NAMESPACE": namespace, "WARREN_LOG_FORMAT": "json"}
        self.log = log
        self._out = log.open("ab")
        out = stdout if isinstance(stdout, int) else self._out
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=terminal if isinstance(terminal, int) else None,
            stderr=self._out,
            stdout=out,
            start_new_session=terminal is not None,
            preexec_fn=None if terminal is None else _take_terminal,  # noqa: PLW1509 - no threads that matter
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()
        self._out.close()
        if error is not None:
            print(f"--- the log of {self.log.name}:\n{self.log.read_text()[-6000:]}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """What the worker has logged, or only the lines of one event."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be being written
        parsed = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in parsed if not event or line["event"] == event]

    def wait_ready(self, timeout: float = 60.0) -> Self:
        """Wait until it says that it is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, f"the worker ended: {self.log.read_text()[-3000:]}"
            return bool(self.lines("worker ready"))

        eventually(ready, timeout, "the worker is ready")
        return self

    @property
    def http(self) -> str:
        return f"http://{self.lines('worker ready')[0]['http']}"

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP port; status and body."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(label in sample for label in wanted):
                total += float(value)
        return total

    def whole_pool(self) -> list[int]:
        """Wait until all processes of its pool are there: it is ready with the first."""
        return eventually(lambda: pids if len(pids := sorted(self.pool_pids())) == self._size else [])

    def pool_pids(self) -> list[int]:
        """The pool's processes: the nursery's children."""
        nursery = psutil.Process(self.pid).children()
        return [child.pid for process in nursery for child in process.children()]

    def children_count(self) -> int:
        """How many processes it has started, the nursery included."""
        return len(psutil.Process(self.pid).children(recursive=True))

    def memory(self) -> int:
        """PSS of the worker and everything it started, in bytes."""
        tree = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        return sum(process.memory_full_info().pss for process in tree)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of the parent; returns when its whole tree is gone."""
        tree = psutil.Process(self.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        gone, alive = psutil.wait_procs(tree, timeout=60)
        assert not alive, f"left behind: {alive}, while {gone} are gone"

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(timeout)


@contextmanager
def running_worker(
    url: str, namespace: str, tmp_path: Path, *modules: str, **settings: object
) -> Iterator[WorkerProcess]:
    """A ready worker, killed afterwards if it is still there."""
    log = tmp_path / f"worker-{time.monotonic_ns()}.log"
    log.touch()
    with WorkerProcess(url, namespace, log, *modules, **settings) as worker:
        yield worker.wait_ready()


@contextmanager
def worker_and_producer(
    broker: Broker, namespace: str, tmp_path: Path, **settings: object
) -> Iterator[tuple[WorkerProcess, Producer]]:
    """A ready worker of these settings, and a producer that waits a minute for a broker that is away or slow."""
    with (
        running_worker(broker.url, namespace, tmp_path, **settings) as worker,
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        yield worker, producer


@contextmanager
def memory_alarm(broker: PrivateBroker, worker: str) -> Iterator[None]:
    """Let the broker have too little memory; begins when it holds back what this worker publishes.

    rabbitmqctl returns when the alarm is raised, but each connection is told on its own: `blocking` is its own answer that
    the next publish on it will not be read.
    """

    def held_back() -> bool:
        listed = broker.ctl("list_connections", "--silent", "state", "client_properties").splitlines()
        return [line.split()[0] for line in listed if f"{worker} publishing" in line] in (["blocking"], ["blocked"])

    broker.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        eventually(held_back, message="the publishing connection is blocked")
        yield
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")


class Gate:
    """Jobs with `until=gate.path` do not end before it is opened."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "gate"
        self.path = str(self._file)

    def open(self) -> None:
        self._file.touch()


def written(path: Path) -> list[dict[str, Any]]:
    """What the tasks wrote down."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def begun(path: Path) -> list[int]:
    """The numbers of the `record` jobs that have begun, in order."""
    return [line["number"] for line in written(path) if line.get("begins")]


def _take_terminal() -> None:
    """Make standard input what this session's Ctrl-C comes from."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _flag(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    flag = {"queues": "queue"}.get(name, name).replace("_", "-")
    if name == "strict":
        return ["--strict"] if value else []
    return [part for one in values for part in (f"--{flag}", str(one))]
