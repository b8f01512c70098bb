"""What happens, as values: logic emits events, logs and metrics subscribe. No text is formatted where things happen."""

import logging
from collections.abc import Callable

import msgspec

from warren.events_history import HistoryEvent
from warren.events_schedules import ScheduleEvent
from warren.events_workflows import WorkflowEvent


class JobEnqueued(msgspec.Struct, frozen=True):
    """A producer's job was confirmed; `seconds` from the call to the confirm."""

    job_id: str
    task: str
    queue: str
    seconds: float


class JobsEnqueued(msgspec.Struct, frozen=True):
    """Jobs of one task were sent together and confirmed; `seconds` from their sending to the last confirm."""

    task: str
    queue: str
    count: int
    seconds: float


class JobStarted(msgspec.Struct, frozen=True):
    """A worker began an attempt; `waited` since the job was ready to run."""

    job_id: str
    task: str
    queue: str
    attempt: int
    waited: float
    replays: int = 0


class JobProgress(msgspec.Struct, frozen=True):
    """A running job said how far it is."""

    job_id: str
    task: str
    queue: str
    done: int
    total: int | None
    attempt: int = 0
    replays: int = 0


class JobEnded(msgspec.Struct, frozen=True):
    """An attempt has its outcome (one of warren.outcome's labels); `detail` says why when it is not done.

    `delay` until the next attempt, if there is one; `has_result` when a result is published that says all this.
    """

    job_id: str
    task: str
    queue: str
    attempt: int
    outcome: str
    seconds: float
    detail: str = ""
    delay: float | None = None
    replays: int = 0
    has_result: bool = True


class JobRefused(msgspec.Struct, frozen=True):
    """A delivery that was never run: undecodable, unknown task, too large, expired, invalid arguments."""

    job_id: str
    task: str
    queue: str
    outcome: str
    reason: str
    detail: str
    attempt: int = 0
    replays: int = 0
    has_result: bool = True


class JobInterrupted(msgspec.Struct, frozen=True):
    """A running job was given back: the worker stops, or its pool was lost. It will run again, uncharged."""

    job_id: str
    task: str
    queue: str
    attempt: int = 0
    replays: int = 0


class JobLost(msgspec.Struct, frozen=True):
    """A worker was lost with this job, or its connection: it goes back to its queue, charged; `crashes` of all sorts so far."""

    job_id: str
    task: str
    queue: str
    crashes: int
    attempt: int = 0
    replays: int = 0


class JobBuried(msgspec.Struct, frozen=True):
    """A dead letter was written."""

    job_id: str
    task: str
    queue: str
    reason: str
    detail: str


class RedeliveryRecognised(msgspec.Struct, frozen=True):
    """A job came again that this worker still runs, or has finished: it is not run a second time."""

    job_id: str
    task: str
    queue: str
    finished: bool


class StaleSettle(msgspec.Struct, frozen=True):
    """A delivery's connection was gone when it should be acked; its outcome is remembered for the redelivery."""

    job_id: str
    queue: str


class Published(msgspec.Struct, frozen=True):
    """A worker's own publish (result, retry, dead letter) was confirmed."""

    seconds: float


class PublishDelayed(msgspec.Struct, frozen=True):
    """A worker's own publish failed and is tried again; the job stays unacked meanwhile."""

    job_id: str
    error: str


class BrokerConnected(msgspec.Struct, frozen=True):
    """Connected, declared and consuming; `again` when it is not the first time."""

    broker: str
    again: bool


class BrokerLost(msgspec.Struct, frozen=True):
    """The connection, a channel or a consumer ended; everything is rebuilt after `retry_in` seconds."""

    reason: str
    retry_in: float


class ControlUnavailable(msgspec.Struct, frozen=True):
    """A worker cannot hear commands: it runs jobs, but cancellations and pauses do not reach it."""

    reason: str


class CommandIgnored(msgspec.Struct, frozen=True):
    """A message on the control exchange was not understood."""

    reason: str


class QueuePaused(msgspec.Struct, frozen=True):
    """A worker takes no jobs of a queue of its own any more, until it is resumed."""

    queue: str


class QueueResumed(msgspec.Struct, frozen=True):
    """A worker takes jobs of a queue of its own again."""

    queue: str


class ProcessStarted(msgspec.Struct, frozen=True):
    """A pool process is ready for jobs."""

    pid: int
    slot: int


class ProcessNotStarted(msgspec.Struct, frozen=True):
    """A pool process could not be started, as there was no room for it; it is tried again, with growing waits."""

    slot: int
    error: str


class ProcessExited(msgspec.Struct, frozen=True):
    """A pool process ended; reason is crashed, killed or stopped.

    `output` is the last line that its job has printed, `where` the innermost frame of its stack; a dead letter has more of both.
    """

    pid: int
    slot: int
    reason: str
    detail: str
    max_rss: int = 0
    output: str = ""
    where: str = ""


class LoopBlocked(msgspec.Struct, frozen=True):
    """A coroutine job has kept its event loop from going on for `seconds`; `stack` says where."""

    job_id: str
    task: str
    queue: str
    pid: int
    seconds: float
    stack: str


class ProcessSilent(msgspec.Struct, frozen=True):
    """A pool process has not answered for so long; one that is `starting` is waited for, one `idle` or `leaving` is killed."""

    pid: int
    slot: int
    state: str
    seconds: float


class PoolResized(msgspec.Struct, frozen=True):
    """A pool has another number of processes from now on, and why."""

    before: int
    after: int
    why: str


class PoolNotGrown(msgspec.Struct, frozen=True):
    """Jobs wait and the pool might have more processes, but there is no memory for another."""

    size: int
    why: str


class WorkerReady(msgspec.Struct, frozen=True):
    """A worker consumes; everything a first look needs."""

    name: str
    queues: tuple[str, ...]
    processes: int
    tasks: tuple[str, ...]
    http: str


class WorkerDraining(msgspec.Struct, frozen=True):
    """A worker takes no more jobs; `running` are given `grace` seconds."""

    signal: str
    running: int
    grace: float


class WorkerStopped(msgspec.Struct, frozen=True):
    """A worker has stopped; `given_back` jobs were returned to their queues."""

    done: int
    given_back: int


class DaemonReady(msgspec.Struct, frozen=True):
    """A daemon that is no worker is connected: it works, or stands by until the one that does is gone."""

    kind: str
    name: str
    http: str


class StandingBy(msgspec.Struct, frozen=True):
    """Another daemon of this kind leads; this one takes over when that is gone."""

    kind: str
    name: str


class Leading(msgspec.Struct, frozen=True):
    """This daemon is the one of its kind that works now."""

    kind: str
    name: str


class DaemonStopping(msgspec.Struct, frozen=True):
    """A daemon that is no worker finishes what it has begun."""

    kind: str
    signal: str


class DaemonStopped(msgspec.Struct, frozen=True):
    """A daemon that is no worker has stopped."""

    kind: str
    name: str


class StatusRefused(msgspec.Struct, frozen=True):
    """The broker does not take this worker's status; it works all the same, unseen by `warren workers`."""

    error: str


Event = (
    JobEnqueued
    | JobsEnqueued
    | JobStarted
    | JobProgress
    | JobEnded
    | JobRefused
    | JobInterrupted
    | JobLost
    | JobBuried
    | RedeliveryRecognised
    | StaleSettle
    | Published
    | PublishDelayed
    | BrokerConnected
    | BrokerLost
    | ControlUnavailable
    | CommandIgnored
    | QueuePaused
    | QueueResumed
    | ProcessStarted
    | ProcessNotStarted
    | ProcessExited
    | ProcessSilent
    | PoolResized
    | PoolNotGrown
    | LoopBlocked
    | WorkerReady
    | WorkerDraining
    | WorkerStopped
    | StatusRefused
    | ScheduleEvent
    | HistoryEvent
    | DaemonReady
    | StandingBy
    | Leading
    | DaemonStopping
    | DaemonStopped
    | WorkflowEvent
)
Subscriber = Callable[[Event], None]


class Events:
    """Hands every event to every subscriber, in the emitting thread; subscribers must be quick.

    What a subscriber raises is logged and disturbs nobody: no job is lost over a line in a log.
    """

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                logging.getLogger("warren").exception("a subscriber to events raised at %r", event)
