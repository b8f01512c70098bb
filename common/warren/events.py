"""What happens, as values: logic emits events, logs and metrics subscribe. No text is formatted where things happen."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobEnqueued:
    """A producer's job was confirmed; `seconds` from the call to the confirm."""

    job_id: str
    task: str
    queue: str
    seconds: float


@dataclass(frozen=True, slots=True)
class JobsEnqueued:
    """Jobs of one task were sent together and confirmed; `seconds` from their sending to the last confirm."""

    task: str
    queue: str
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A worker began an attempt; `waited` since the job was ready to run."""

    job_id: str
    task: str
    queue: str
    attempt: int
    waited: float


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A running job said how far it is."""

    job_id: str
    task: str
    queue: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class JobEnded:
    """An attempt has its outcome (one of warren.outcome's labels); `detail` says why when it is not done."""

    job_id: str
    task: str
    queue: str
    attempt: int
    outcome: str
    seconds: float
    detail: str = ""
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class JobRefused:
    """A delivery that was never run: undecodable, unknown task, too large, expired, invalid arguments."""

    job_id: str
    task: str
    queue: str
    outcome: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class JobInterrupted:
    """A running job was given back: the worker stops, or its pool was lost. It will run again, uncharged."""

    job_id: str
    task: str
    queue: str


@dataclass(frozen=True, slots=True)
class JobBuried:
    """A dead letter was written."""

    job_id: str
    task: str
    queue: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RedeliveryRecognised:
    """A job came again that this worker still runs, or has finished: it is not run a second time."""

    job_id: str
    task: str
    queue: str
    finished: bool


@dataclass(frozen=True, slots=True)
class StaleSettle:
    """A delivery's connection was gone when it should be acked; its outcome is remembered for the redelivery."""

    job_id: str
    queue: str


@dataclass(frozen=True, slots=True)
class Published:
    """A worker's own publish (result, retry, dead letter) was confirmed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PublishDelayed:
    """A worker's own publish failed and is tried again; the job stays unacked meanwhile."""

    job_id: str
    error: str


@dataclass(frozen=True, slots=True)
class BrokerConnected:
    """Connected, declared and consuming; `again` when it is not the first time."""

    broker: str
    again: bool


@dataclass(frozen=True, slots=True)
class BrokerLost:
    """The connection, a channel or a consumer ended; everything is rebuilt after `retry_in` seconds."""

    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class ProcessStarted:
    """A pool process is ready for jobs."""

    pid: int
    slot: int


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A pool process ended; reason is crashed, killed or stopped."""

    pid: int
    slot: int
    reason: str
    detail: str
    max_rss: int = 0


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker consumes; everything a first look needs."""

    name: str
    queues: tuple[str, ...]
    processes: int
    tasks: tuple[str, ...]
    http: str


@dataclass(frozen=True, slots=True)
class WorkerDraining:
    """A worker takes no more jobs; `running` are given `grace` seconds."""

    signal: str
    running: int
    grace: float


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """A worker has stopped; `given_back` jobs were returned to their queues."""

    done: int
    given_back: int


Event = (
    JobEnqueued
    | JobsEnqueued
    | JobStarted
    | JobProgress
    | JobEnded
    | JobRefused
    | JobInterrupted
    | JobBuried
    | RedeliveryRecognised
    | StaleSettle
    | Published
    | PublishDelayed
    | BrokerConnected
    | BrokerLost
    | ProcessStarted
    | ProcessExited
    | WorkerReady
    | WorkerDraining
    | WorkerStopped
)
Subscriber = Callable[[Event], None]


class Events:
    """Hands every event to every subscriber, in the emitting thread; subscribers must be quick and must not raise."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber(event)
