"""Processes under measurement: their CPU time and their memory."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU seconds used so far, at one moment, by process id."""

    moment: float
    parent: float
    children: dict[int, float]
    broker: float


@dataclass(frozen=True, slots=True)
class CpuSplit:
    """Where the CPU time of an interval went."""

    seconds: float
    parent: float
    child: float
    broker: float

    def per_job(self, jobs: int) -> dict[str, float]:
        """Microseconds a job, by part."""
        parts = {"parent": self.parent, "child": self.child, "broker": self.broker}
        return {name: seconds / jobs * 1e6 for name, seconds in parts.items()}


def split(before: CpuReading, after: CpuReading) -> CpuSplit:
    """Return what was used between two readings; a child that began in between counts whole, one that ended is lost."""
    return CpuSplit(
        after.moment - before.moment,
        after.parent - before.parent,
        sum(used - before.children.get(pid, 0.0) for pid, used in after.children.items()),
        after.broker - before.broker,
    )


def cpu_of(pid: int) -> float:
    """User and system time of one process, to the microsecond; 0 when it is gone."""
    try:
        # The process's own CPU clock (clock_getcpuclockid(3)); /proc tells the same in steps of 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything it has started."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def ended(process: psutil.Process) -> bool:
    """Tell whether a process runs no more; not every init is quick to reap what it has adopted."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pss(pid: int) -> int:
    """Memory of a process's tree in bytes, shared pages divided among those who share them."""
    return sum(_share(process.pid, "Pss") for process in tree(pid))


def own_pss(pid: int) -> int:
    """What of a tree's PSS is no file's: the share of a library changes when another program begins or ends to use it."""
    return sum(_share(process.pid, "Pss_Anon", "Pss_Shmem") for process in tree(pid))


def _share(pid: int, *names: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    values = dict(line.split(":", 1) for line in lines[1:])
    return sum(int(values[name].split()[0]) * 1024 for name in names)
