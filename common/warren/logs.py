"""Events as log lines, by structlog: JSON for machines, columns for a terminal."""

import logging
import sys
from typing import TYPE_CHECKING

from warren.events import (
    BrokerConnected,
    BrokerLost,
    CommandIgnored,
    ControlUnavailable,
    DaemonReady,
    DaemonStopped,
    DaemonStopping,
    Event,
    JobBuried,
    JobEnded,
    JobEnqueued,
    JobInterrupted,
    JobLost,
    JobProgress,
    JobRefused,
    JobsEnqueued,
    JobStarted,
    Leading,
    LoopBlocked,
    PoolNotGrown,
    PoolResized,
    ProcessExited,
    ProcessNotStarted,
    ProcessSilent,
    ProcessStarted,
    PublishDelayed,
    Published,
    QueuePaused,
    QueueResumed,
    RedeliveryRecognised,
    StaleSettle,
    StandingBy,
    StatusRefused,
    WorkerDraining,
    WorkerReady,
    WorkerStopped,
)
from warren.events_history import BacklogKept, BatchRecorded, HistoryDropped, NotRecorded, StoreBack
from warren.events_schedules import (
    ScheduleDelayed,
    ScheduleFired,
    ScheduleGivenUp,
    ScheduleMissed,
    ScheduleSkipped,
    SchedulesRead,
    StoreAway,
)
from warren.events_workflows import (
    NodeEnded,
    WorkflowDelayed,
    WorkflowEnded,
    WorkflowMessageIgnored,
    WorkflowRefused,
    WorkflowsSwept,
    WorkflowStarted,
)
from warren.lean_structlog import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

_LINES: dict[type, tuple[int, str]] = {
    JobEnqueued: (logging.DEBUG, "job enqueued"),
    JobsEnqueued: (logging.DEBUG, "jobs enqueued"),
    JobStarted: (logging.DEBUG, "job started"),
    JobProgress: (logging.INFO, "job progress"),
    JobInterrupted: (logging.WARNING, "job given back, it will run again elsewhere"),
    JobLost: (logging.WARNING, "a worker was lost with this job; it is charged with that and tried again"),
    JobBuried: (logging.ERROR, "job is a dead letter; see `warren dead show`"),
    JobRefused: (logging.WARNING, "job refused"),
    RedeliveryRecognised: (logging.INFO, "job was delivered again and is not run twice"),
    StaleSettle: (logging.WARNING, "connection was gone before the ack; waiting for the redelivery"),
    Published: (logging.DEBUG, "publish confirmed"),
    PublishDelayed: (logging.WARNING, "cannot publish an outcome yet, trying again; the job stays unacked"),
    BrokerLost: (logging.WARNING, "broker connection lost, rebuilding it"),
    LoopBlocked: (logging.WARNING, "event loop blocked"),
    ControlUnavailable: (logging.WARNING, "cannot hear commands: cancellations and pauses do not reach this worker"),
    QueuePaused: (logging.WARNING, "queue paused: no jobs are taken from it"),
    QueueResumed: (logging.INFO, "queue resumed"),
    CommandIgnored: (logging.WARNING, "a command was not understood and is ignored"),
    ProcessStarted: (logging.DEBUG, "pool process ready"),
    ProcessNotStarted: (logging.ERROR, "a pool process could not be started; it is tried again"),
    ProcessSilent: (logging.WARNING, "pool process does not answer"),
    PoolNotGrown: (logging.WARNING, "pool cannot grow though jobs wait"),
    PoolResized: (logging.INFO, "pool has another size"),
    WorkerReady: (logging.INFO, "worker ready"),
    WorkerDraining: (logging.INFO, "worker stopping, no new jobs"),
    WorkerStopped: (logging.INFO, "worker stopped"),
    StatusRefused: (logging.WARNING, "the broker does not take this worker's status: `warren workers` cannot show it"),
    BatchRecorded: (logging.DEBUG, "recorded"),
    NotRecorded: (logging.WARNING, "messages are skipped and not recorded"),
    HistoryDropped: (logging.ERROR, "history is incomplete: messages were dropped before they were recorded"),
    BacklogKept: (logging.WARNING, "--backlog changes nothing: the stream is there with another size"),
    StoreBack: (logging.INFO, "the store can be used again"),
    DaemonReady: (logging.INFO, "ready"),
    StandingBy: (logging.INFO, "standing by: another one leads"),
    Leading: (logging.INFO, "leading"),
    DaemonStopping: (logging.INFO, "stopping"),
    DaemonStopped: (logging.INFO, "stopped"),
    WorkflowStarted: (logging.INFO, "workflow started"),
    WorkflowRefused: (logging.WARNING, "what was submitted is no workflow; whoever waits for it is told"),
    NodeEnded: (logging.DEBUG, "end of a workflow's job heard"),
    WorkflowEnded: (logging.INFO, "workflow ended"),
    WorkflowDelayed: (
        logging.WARNING,
        "what follows for workflows cannot be done yet; it is written down and tried again",
    ),
    WorkflowMessageIgnored: (logging.WARNING, "a message for workflows is ignored"),
    WorkflowsSwept: (logging.DEBUG, "running workflows were looked through"),
    SchedulesRead: (logging.INFO, "schedules read from the modules"),
    ScheduleFired: (logging.INFO, "schedule fired"),
    ScheduleMissed: (logging.WARNING, "schedule missed due times"),
    ScheduleSkipped: (logging.WARNING, "schedule did not fire: its previous job has not ended"),
    ScheduleDelayed: (logging.WARNING, "cannot publish a schedule's job yet, trying again"),
    ScheduleGivenUp: (logging.ERROR, "jobs of a schedule are given up"),
    StoreAway: (logging.WARNING, "the store does not answer, trying again"),
}

_FOR_HISTORY = frozenset({"replays", "has_result"})
"""Fields that say nothing to who reads a log."""
_ENDS = {"done": (logging.DEBUG, "job done"), "cancelled": (logging.INFO, "job cancelled")}
_FAILED = {True: (logging.WARNING, "job will be retried"), False: (logging.WARNING, "job failed")}


def configure(level: str, form: str) -> None:
    """Send this process's logs, structlog's and the standard library's, to standard error.

    Args:
        level: debug, info, warning or error.
        form: json, console, or auto.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    # What these say of a lost connection is said by our own events, once.
    for noisy in ("pika", "aio_pika", "aiormq"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING))


class LogSubscriber:
    """Writes one line per event, by the configuration there is when it is made."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("warren").bind()
        self._unheard = {kind for kind, (level, _) in _LINES.items() if not self._log.is_enabled_for(level)}
        """Told by the type alone: every job has one of them."""

    def __call__(self, event: Event) -> None:
        if type(event) in self._unheard:
            return
        level, text = _line(event)
        if self._log.is_enabled_for(level):
            told = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _FOR_HISTORY}
            self._log.log(level, text, **{name: value for name, value in told.items() if value not in ("", None)})


def _line(event: Event) -> tuple[int, str]:
    if isinstance(event, JobEnded):
        return _ENDS.get(event.outcome) or _FAILED[event.delay is not None]
    if isinstance(event, JobRefused) and event.outcome == "cancelled":
        return _ENDS["cancelled"]
    if isinstance(event, BrokerConnected):
        return logging.INFO, "broker connected again" if event.again else "broker connected"
    if isinstance(event, ProcessExited):
        level = logging.DEBUG if event.reason == "stopped" else logging.ERROR
        return level, "pool process ended"
    return _LINES[type(event)]
