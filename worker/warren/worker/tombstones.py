"""Which jobs are cancelled, as far as a worker remembers: pure."""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from warren.job import Job
from warren.outcome import Cancelled, Crashed, Done, Expired, Failed, Outcome, Rejected, Retry
from warren.worker.blame import CANCELLED

MOST_JOBS = 100_000
"""Of the jobs cancelled by id, the newest are remembered: 25 MB of them."""
MOST_TASKS = 1_000


class Tombstone(msgspec.Struct, frozen=True):
    """That jobs are cancelled: when that was said, in seconds since the epoch, and why."""

    at: float
    reason: str


class Tombstones:
    """What was cancelled by id and by task; adding the same again changes nothing."""

    def __init__(self, most_jobs: int = MOST_JOBS, most_tasks: int = MOST_TASKS) -> None:
        self.any = False
        """Whether there are any at all: mostly not, and every job asks."""
        self._most_jobs, self._most_tasks = most_jobs, most_tasks
        self._jobs: OrderedDict[str, Tombstone] = OrderedDict()
        self._tasks: OrderedDict[str, Tombstone] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()

    def add_jobs(self, ids: Iterable[str], stone: Tombstone) -> None:
        """Take note that jobs are cancelled; of a job that was before, the newest counts."""
        self.any = True
        for job_id in ids:
            _put_newest(self._jobs, job_id, stone, self._most_jobs)

    def add_task(self, task: str, stone: Tombstone) -> None:
        """Take note that the jobs of a task are cancelled that were enqueued before."""
        self.any = True
        _put_newest(self._tasks, task, stone, self._most_tasks)

    def add_told(self, ids: Iterable[str]) -> None:
        """Take note that whoever waits for these was told."""
        for job_id in ids:
            self._told[job_id] = None
            while len(self._told) > self._most_jobs:
                self._told.popitem(last=False)

    def of(self, job: Job) -> Tombstone | None:
        """Return why a job is not to be run (on), if so.

        A dead letter that was replayed after it was cancelled was wanted again by somebody.
        """
        stone = self._jobs.get(job.id)
        if stone is None:
            stone = self._tasks.get(job.task)
            if stone is None or job.enqueued_at > stone.at:
                return None
        return None if job.replays and job.first_ready_at > stone.at else stone

    def outcome_of(self, job: Job, outcome: Outcome) -> Outcome:
        """Return what an attempt came to, of which it may be known now that its job is cancelled: then it is not tried again.

        What it had done is done; what it failed of is told in the reason, and no dead letter.
        """
        killed = isinstance(outcome, Crashed) and outcome.killed_for == CANCELLED
        stone = self.of(job) if self.any else None
        if stone is None:
            return Cancelled(CANCELLED) if killed else outcome
        match outcome:
            case Done() | Rejected() | Expired():
                return outcome
            case Retry() | Failed():
                return Cancelled(f"{stone.reason}; it had failed: {outcome.failure}")
            case Crashed() if not killed:
                return Cancelled(f"{stone.reason}; it had crashed: {outcome}")
        return Cancelled(stone.reason)

    def is_told(self, job: Job) -> bool:
        """Tell whether whoever waits for a cancelled job knows it already."""
        return job.id in self._told


def _put_newest(kept: OrderedDict[str, Tombstone], key: str, stone: Tombstone, most: int) -> None:
    before = kept.get(key)
    if before is None or before.at < stone.at:
        kept[key] = stone
        kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
