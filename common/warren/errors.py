"""The errors Warren raises, one small tree; the class says whose fault it is, the fields carry the data, the message says what to do."""


class WarrenError(Exception):
    """Base of every error that Warren raises on purpose."""


# --- the caller's: fix the code or the configuration -------------------------------------------------------------


class UsageError(WarrenError):
    """Something the caller said cannot be meant; nothing was sent and nothing was started."""


class InvalidName(UsageError):
    """A queue or namespace name that RabbitMQ's routing could misread."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"{what} {name!r} is not a usable name: take 1 to 100 letters, digits and the signs _ . : -, beginning with a letter or digit"
        )
        self.what, self.name = what, name


class InvalidTask(UsageError):
    """A declaration that cannot be a task: a wrong option, or a function that cannot be found again by name."""


class InvalidHook(UsageError):
    """A function that cannot be run around jobs: it takes arguments, or is a coroutine function."""

    def __init__(self, kind: str, name: str, why: str) -> None:
        super().__init__(f"@{kind} on {name!r}: {why}")
        self.name = name


class InvalidSchedule(UsageError):
    """A declaration that cannot be a schedule: an impossible rule, option or time zone."""


class InvalidArguments(UsageError):
    """Arguments that do not fit the task's signature and annotations, or cannot be written as JSON."""

    def __init__(self, task: str, why: str) -> None:
        super().__init__(f"task {task!r} cannot take these arguments: {why}; nothing was sent")
        self.task, self.why = task, why


class PayloadTooLarge(UsageError):
    """A job bigger than the limit; big things belong into a file or an object store."""

    def __init__(self, task: str, size: int, limit: int) -> None:
        super().__init__(
            f"a job of task {task!r} is {size:,} bytes and the limit is {limit:,}: pass a path or a URL instead of the data, "
            f"use smaller chunks, or raise payload_limit here and on the workers; nothing was sent"
        )
        self.task, self.size, self.limit = task, size, limit


class InvalidWorkflow(UsageError):
    """A workflow that could never end, or refers to what it does not have: cycles, unknown nodes, names given twice, too many nodes."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"workflow {name!r} cannot be run: {why}; nothing was sent")
        self.name, self.why = name, why


class InvalidSettings(UsageError):
    """One or more settings that are unknown or cannot be right; every problem is in `problems`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class WrongUse(UsageError):
    """A call that makes no sense here: a closed producer, a context outside a job."""


# --- the broker's: publishing --------------------------------------------------------------------------------------


class PublishError(WarrenError):
    """A message was not confirmed within the deadline.

    `unknown` is True when it had left this process and the broker's answer was lost: it may still arrive. Sending the
    same job id again is then safe: at most it runs twice.
    """

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


class BrokerUnavailable(PublishError):
    """No broker could be reached, or it did not answer in time."""


class BrokerBlocked(PublishError):
    """The broker has stopped taking messages: a memory or disk alarm."""


class Unroutable(PublishError):
    """No queue takes this message: the queue does not exist and declaring is off."""

    def __init__(self, queue: str, why: str = "no queue of that name is bound") -> None:
        super().__init__(
            f"queue {queue!r} does not take jobs ({why}): start a worker for it, run `warren topology apply --queue {queue}`, "
            "or allow this producer to declare (declare = true); nothing was enqueued"
        )
        self.queue = queue


class PublishRefused(PublishError):
    """The broker said no: a full queue, missing permission."""


# --- the broker's: topology ----------------------------------------------------------------------------------------


class TopologyMismatch(WarrenError):
    """The broker holds an exchange or queue of this name with other arguments, or will not let us declare it."""


# --- the job's: what waiting for a result can end in ---------------------------------------------------------------


class ResultError(WarrenError):
    """Waiting for a result ended without one."""


class ResultTimeout(ResultError, TimeoutError):
    """No result yet; the job is untouched and the handle may be asked again."""

    def __init__(self, job_id: str, seconds: float) -> None:
        super().__init__(
            f"job {job_id} has no result after {seconds:g} s; it may be queued, running or retrying, and the handle may be asked again"
        )
        self.job_id = job_id


class NoResult(ResultError):
    """The job's task publishes no result (`result=False`)."""


class JobFailed(ResultError):
    """The job is a dead letter.

    `reason` is the dead letter's; `error_type`, `error` and `traceback` (text) tell what the last attempt raised, where it raised.
    """

    def __init__(self, job_id: str, reason: str, error_type: str, error: str, traceback: str) -> None:
        said = f"{error_type}: {error}" if error_type else error
        super().__init__(f"job {job_id} is a dead letter ({reason}): {said}")
        self.job_id, self.reason = job_id, reason
        self.error_type, self.error, self.traceback = error_type, error, traceback


class JobCancelled(ResultError):
    """The job was cancelled and will not run (again)."""

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} was cancelled: {reason}")
        self.job_id, self.reason = job_id, reason


class JobExpired(ResultError):
    """The job had not started when its time was over."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} expired before a worker could start it")
        self.job_id = job_id


class ResultExpired(ResultError):
    """The job has ended; its result was dropped from the history, as those are that are old or many."""

    def __init__(self, job_id: str, when: str) -> None:
        super().__init__(
            f"EXPIRED: job {job_id} has ended, and the history dropped it on {when}; nothing more is known of it"
        )
        self.job_id = job_id


class JobUnknown(ResultError):
    """Neither the broker nor the history has ever heard of such a job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"UNKNOWN: nothing is known of job {job_id!r}: there never was such a job, or it was enqueued while no recorder ran"
        )
        self.job_id = job_id


class MapFailed(ResultError):
    """Some items of a map failed for good; `failed` has their positions and errors, `results` what the others gave (failed ones: None)."""

    def __init__(self, failed: dict[int, str], results: list[object]) -> None:
        first = next(iter(failed.items()))
        super().__init__(
            f"{len(failed)} of {len(results)} items failed for good, the first at position {first[0]}: {first[1]}"
        )
        self.failed, self.results = failed, results


class WorkflowFailed(ResultError):
    """A workflow ended without its result; `failed` has what was said of each node that failed, by its name."""

    def __init__(self, workflow_id: str, why: str, failed: dict[str, str]) -> None:
        super().__init__(f"workflow {workflow_id} failed: {why}; `warren workflows show {workflow_id}` tells more")
        self.workflow_id, self.why, self.failed = workflow_id, why, failed


# --- a daemon's ------------------------------------------------------------------------------------------------------


class StartError(WarrenError):
    """A worker or another daemon could not start: a module that cannot be imported, no task in it, a port in use, no database."""


# --- the store's -----------------------------------------------------------------------------------------------------


class StoreUnavailable(WarrenError):
    """The database of history, schedules and workflows cannot be used now; what was to be written was not."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"the store {url!r} cannot be used: {why}")
        self.url, self.why = url, why


class StoreEmpty(WarrenError):
    """The database has no tables of ours, or those of an older Warren: nothing has recorded into it yet."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"the store {url!r} has nothing in it yet: start `warren recorder` or `warren scheduler`, which make its tables, "
            "or name another with --store"
        )
        self.url = url


class UnknownSchedule(WarrenError):
    """There is no schedule of that name in the store."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no schedule {name!r}; `warren schedules list` tells which there are")
        self.name = name
