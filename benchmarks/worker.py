"""A worker of any system, as a real process with everything it starts."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from benchmarks.marks import counted
from benchmarks.processes import CpuReading, cpu_of, ended, own_pss, pss, tree
from benchmarks.site import Site
from benchmarks.systems.registry import system
from benchmarks.systems.warren import Warren
from benchmarks.waiting import POLL_SECONDS, NotInTime, wait_until

_START_SECONDS = 60.0
_END_SECONDS = 10.0
_LOG_CHARACTERS = 2000


class Worker:
    """A running worker."""

    def __init__(self, site: Site, process: subprocess.Popen[bytes], log: Path) -> None:
        self._site = site
        self._process = process
        self._log = log
        self.started = time.perf_counter()

    @property
    def count(self) -> int:
        """How many jobs it has run."""
        return counted(self._site.folder)

    def wait_for(self, jobs: int, seconds: float = _START_SECONDS, poll: float = POLL_SECONDS) -> None:
        """Return when so many jobs have run.

        Raises:
            NotInTime: with the end of its log.
        """
        try:
            wait_until(lambda: self._ran(jobs), seconds, f"{jobs} jobs run", poll)
        except NotInTime as error:
            error.add_note(f"{self.count} have run; its log ends with\n{self._tail()}")
            raise

    def _ran(self, jobs: int) -> bool:
        if self._process.poll() is not None:
            raise NotInTime(f"the worker ended: {self._tail()}")
        return self.count >= jobs

    def stop(self) -> None:
        """Have it stop in order, and tell the last that it has to tell."""
        self._process.terminate()
        self._process.wait(_START_SECONDS)

    def cpu(self) -> CpuReading:
        """What it and the broker have used so far."""
        parent, *children = tree(self._process.pid)
        used = {child.pid: cpu_of(child.pid) for child in children}
        return CpuReading(time.perf_counter(), cpu_of(parent.pid), used, cpu_of(self._site.broker_pid))

    def pss(self) -> int:
        return pss(self._process.pid)

    def own_pss(self) -> int:
        return own_pss(self._process.pid)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-_LOG_CHARACTERS:]


@contextmanager
def running(name: str, site: Site) -> Iterator[Worker]:
    """A worker that has been started; killed with its whole tree afterwards, because how it stops is not measured."""
    command = system(name, site).worker()
    log = Path(site.folder) / "worker.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command.argv, env=command.environ, stdout=out, stderr=out) as process,
    ):
        try:
            yield Worker(site, process, log)
        finally:
            _kill(process)


@contextmanager
def conducting(site: Site) -> Iterator[int]:
    """Warren's scheduler, which has been started; its process id."""
    command = Warren(site).scheduler()
    with (
        (Path(site.folder) / "scheduler.log").open("wb") as out,
        subprocess.Popen(command.argv, env=command.environ, stdout=out, stderr=out) as process,
    ):
        try:
            yield process.pid
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        everything = tree(process.pid)
        for each in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        wait_until(lambda: all(ended(each) for each in everything), _END_SECONDS, "the worker's processes end")
