"""How the processes of a pool are at one moment, as values; looked at every few seconds, never for a job."""

import os
import time
from collections.abc import Iterator

from warren.status import LEAVING, ProcessStatus, RunningJob
from warren.worker.assignment import Assignment
from warren.worker.process import PoolProcess

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def look(process: PoolProcess, at: float, *, leaves: bool = False) -> ProcessStatus:
    """Return how a process is.

    Args:
        process: of this worker's pool.
        at: now, in seconds since the epoch.
        leaves: it is not in its place any more, and only finishes what it runs.
    """
    jobs = tuple(_running(process, at)) if process.alive else ()
    state = LEAVING if leaves else "busy" if jobs else "free" if process.usable else "starting"
    return ProcessStatus(process.slot, process.pid, state, len(jobs), jobs, resident_bytes(process.pid))


def _running(process: PoolProcess, at: float) -> Iterator[RunningJob]:
    """Of what it holds the first is being run, the others wait; what is on its event loop all runs."""
    now = time.monotonic()
    for first in list(process.held)[:1]:
        yield _job(first, at - (now - process.since))
    for each in process.loop.running.values():
        yield _job(each, at - (now - each.since))


def _job(assignment: Assignment, since: float) -> RunningJob:
    run, progress = assignment.run, assignment.progress
    done, total = (progress.done, progress.total) if progress is not None else (None, None)
    return RunningJob(run.job_id, run.task, run.queue, run.attempt, round(since, 3), done, total)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 when it is gone, or the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - a path object costs more than the reading
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
