"""What a worker says of itself every few seconds, for `warren workers`, `warren top` and whoever else asks: a frozen value and its message.

A status is as large as a few dozen jobs at most: a worker that runs hundreds lists those that run longest, and counts all.
"""

import enum
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from warren.amqp.seam import Message
from warren.job import APP_ID, CONTENT_TYPE, new_id

INTERVAL_SECONDS = 5.0
"""Between two statuses of a worker in which nothing happens that must be told at once."""
SILENT_INTERVALS = 2.5
"""A worker that said nothing for so many of its intervals is taken for dead: it missed two, and had time for the third."""
LISTED_JOBS = 50
LISTED_PROCESSES = 128
LEAVING = "leaving"
_TEXT = 200


class WorkerState(enum.StrEnum):
    """How a worker is; only the last is final."""

    STARTING = "starting"
    RUNNING = "running"
    DISCONNECTED = "disconnected"
    DRAINING = "draining"
    STOPPED = "stopped"


class RunningJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that a process runs now; `since` in seconds since the epoch, `done` and `total` if it said how far it is."""

    id: str
    task: str
    queue: str
    attempt: int
    since: float
    done: int | None = None
    total: int | None = None


class ProcessStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process of the pool: `starting`, `free`, `busy`, or `leaving` where another has taken its place while it finishes.

    Attributes:
        running: jobs that it runs, listed or not.
        rss: resident memory in bytes; 0 where it is not known.
    """

    slot: int
    pid: int
    state: str
    running: int = 0
    jobs: tuple[RunningJob, ...] = ()
    rss: int = 0

    @property
    def leaves(self) -> bool:
        """Whether another has taken its place."""
        return self.state == LEAVING


class WorkerStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How a worker is; moments are seconds since the epoch by its own clock, memory is in bytes.

    Attributes:
        at: when it said so.
        interval: seconds until it will say so again at the latest.
        processes: how many its pool shall have; `slots` are those it has.
        coroutines: how many coroutine jobs each of them may run beside its plain one.
        ended: attempts since it started, by outcome, as `warren_jobs_finished_total` counts them.
        reconnects: how often its broker connection was rebuilt.
        rss: of the parent alone.
    """

    name: str
    host: str
    pid: int
    version: str
    started_at: float
    at: float
    interval: float
    state: WorkerState
    queues: tuple[str, ...]
    processes: int
    coroutines: int = 0
    slots: tuple[ProcessStatus, ...] = ()
    ended: Mapping[str, int] = {}
    reconnects: int = 0
    rss: int = 0

    @property
    def running(self) -> int:
        """Jobs that it runs, listed or not."""
        return sum(slot.running for slot in self.slots)

    @property
    def busy(self) -> int:
        """Processes that run something, of those that are not leaving."""
        return sum(slot.running > 0 and not slot.leaves for slot in self.slots)

    @property
    def memory(self) -> int:
        """Resident memory of the parent and its listed processes; what they share is counted for each."""
        return self.rss + sum(slot.rss for slot in self.slots)

    def count(self, *outcomes: str) -> int:
        """Return how many attempts ended so; all of them when no outcome is named."""
        return sum(self.ended.get(outcome, 0) for outcome in outcomes or self.ended)


def bounded(slots: Sequence[ProcessStatus]) -> tuple[ProcessStatus, ...]:
    """Return as much of a pool's processes as goes into one message: the jobs that run longest, the lowest slots."""
    jobs = sorted((job.since, job.id) for slot in slots for job in slot.jobs)
    last = jobs[:LISTED_JOBS][-1] if jobs else (0.0, "")
    return tuple(
        replace(slot, jobs=tuple(_shortened(job) for job in slot.jobs if (job.since, job.id) <= last))
        for slot in slots[:LISTED_PROCESSES]
    )


def _shortened(job: RunningJob) -> RunningJob:
    """Anybody chooses the ids of jobs, and how long they are."""
    if len(job.id) <= _TEXT and len(job.task) <= _TEXT:
        return job
    return replace(job, id=job.id[:_TEXT], task=job.task[:_TEXT])


def to_message(status: WorkerStatus) -> Message:
    """Return the message of a status."""
    return Message(
        body=msgspec.json.encode(status),
        message_id=new_id(status.at),
        type=status.state.value,
        content_type=CONTENT_TYPE,
        timestamp=int(status.at),
        app_id=APP_ID,
    )


def from_message(message: Message) -> WorkerStatus | None:
    """Read a status; None for a message that is none."""
    try:
        return _STATUS.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return None


_STATUS = msgspec.json.Decoder(WorkerStatus)
