"""One of every event."""

from typing import get_args

from warren import events, events_schedules, events_workflows
from warren.events import Event

JOB = ("the-id", "m:f", "images")
EVENTS: list[Event] = [
    events.JobEnqueued(*JOB, 0.01),
    events.JobsEnqueued("m:f", "images", 50, 0.01),
    events.JobStarted(*JOB, 1, 0.5),
    events.JobProgress(*JOB, 3, 10),
    events.JobEnded(*JOB, 2, "done", 1.5),
    events.JobRefused(*JOB, "rejected", "invalid_arguments", "argument 'a'"),
    events.JobInterrupted(*JOB),
    events.JobLost(*JOB, 2),
    events.JobBuried(*JOB, "failed", "ValueError: no"),
    events.RedeliveryRecognised(*JOB, finished=True),
    events.StaleSettle("the-id", "images"),
    events.Published(0.002),
    events.PublishDelayed("the-id", "no answer"),
    events.BrokerConnected("amqp://h", again=True),
    events.BrokerLost("gone", 1.5),
    events.ControlUnavailable("403 ACCESS_REFUSED"),
    events.CommandIgnored("no command"),
    events.QueuePaused("images"),
    events.QueueResumed("images"),
    events.ProcessStarted(123, 1),
    events.ProcessNotStarted(1, "[Errno 24] Too many open files"),
    events.LoopBlocked("id", "m:f", "q", 123, 1.5, 'File "a.py", line 1 in f'),
    events.ProcessExited(123, 1, "crashed", "SIGKILL", 1 << 20, "its last line", 'File "a.py", line 1 in f'),
    events.ProcessSilent(123, 1, "idle", 12.5),
    events.PoolNotGrown(2, "no memory"),
    events.PoolResized(2, 4, "asked for"),
    events.WorkerReady("w", ("images",), 2, ("m:f",), "http://h:1"),
    events.WorkerDraining("SIGTERM", 2, 30.0),
    events.WorkerStopped(10, 1),
    events.StatusRefused("403 ACCESS_REFUSED"),
    events.DaemonReady("recorder", "r", "http://h:1"),
    events.StandingBy("recorder", "r"),
    events.Leading("recorder", "r"),
    events.DaemonStopping("recorder", "SIGTERM"),
    events.DaemonStopped("recorder", "r"),
    events_workflows.WorkflowStarted("w", "etl", 3),
    events_workflows.WorkflowRefused("w", "it has no nodes"),
    events_workflows.NodeEnded("w", "clean", "the-id", "done", taken=True),
    events_workflows.WorkflowEnded("w", "etl", "failed", 1.5, "node 'clean' failed"),
    events_workflows.WorkflowDelayed("no broker", 3),
    events_workflows.WorkflowMessageIgnored("no request"),
    events_workflows.WorkflowsSwept(3, 1, 0, 0),
    events_schedules.SchedulesRead(("nightly",), (), ()),
    events_schedules.ScheduleFired("nightly", "the-id", "m:f", "images", 1_790_000_000.0, 0.01),
    events_schedules.ScheduleMissed("nightly", 3, 1, "run_once"),
    events_schedules.ScheduleSkipped("nightly", 1, "the-id"),
    events_schedules.ScheduleDelayed("nightly", "the-id", "no queue took it"),
    events_schedules.StoreAway("the store 'sqlite:///warren.db' cannot be used: it is locked"),
]
KINDS = get_args(Event)
