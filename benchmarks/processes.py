"""Processes under measurement: their CPU time and their memory."""

import contextlib
from dataclasses import dataclass

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

    def __add__(self, other: "CpuSplit") -> "CpuSplit":
        return CpuSplit(
            self.seconds + other.seconds,
            self.parent + other.parent,
            self.child + other.child,
            self.broker + other.broker,
        )

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
    """User and system time of one process; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


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
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total
