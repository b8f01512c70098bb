"""For use inside a running task: who am I, how far am I, and the turns a job may take by raising."""

import contextvars
import operator
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from warren.delay import MAX_DELAY_SECONDS
from warren.errors import WrongUse
from warren.options import Seconds


class Turn(Exception):
    """Base of what a task raises to say what shall become of its job; not failures."""


class RetryLater(Turn):
    """Run this job again after `delay` seconds; not counted as a failure."""

    def __init__(self, delay: Seconds, reason: str = "") -> None:
        super().__init__(reason or "the task asked to be run later")
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= self.delay <= MAX_DELAY_SECONDS:
            raise ValueError(f"RetryLater({delay!r}): take 0 to {MAX_DELAY_SECONDS:.0f} seconds")


class Cancel(Turn):
    """There is nothing (more) to do: end the job as cancelled."""


class Fail(Turn):
    """Retrying cannot help: make the job a dead letter now."""


class Cancelled(BaseException):
    """Somebody cancelled this job: raised inside a plain task that runs.

    As `asyncio.CancelledError`, which a coroutine task gets, it is no `Exception`: `except Exception` lets it pass. Clean up and
    let it go on; the process of a task that does not end is killed.
    """


class TimeLimitExceeded(Exception):
    """The task's `timeout` is over; raised inside the task, a failure like any other unless caught."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a running task may know of its job.

    Attributes:
        id: for life, over all attempts.
        attempt: this execution, 1-based.
        failures: counted failures before this attempt.
        last_error: what the previous attempt came to, empty at the first.
        deadline: when the time limit ends, seconds since the epoch, or None.
    """

    id: str
    task: str
    queue: str
    attempt: int
    failures: int
    last_error: str
    deadline: float | None
    report: Callable[[int, int | None], None]

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the job is; shown where the job is looked at.

        Raises:
            TypeError: not whole numbers.
        """
        self.report(operator.index(done), None if total is None else operator.index(total))

    @property
    def remaining(self) -> float | None:
        """Seconds until the time limit, or None."""
        return None if self.deadline is None else self.deadline - time.time()

    @property
    def logger(self) -> Any:
        """A structlog logger that names this job on every line."""
        return structlog.get_logger("warren.job").bind(job_id=self.id, task=self.task, attempt=self.attempt)


_current: contextvars.ContextVar[JobContext] = contextvars.ContextVar("warren_job")


def job() -> JobContext:
    """Return the running job.

    Raises:
        WrongUse: no job is running here, as when a task is just called.
    """
    try:
        return _current.get()
    except LookupError:
        raise WrongUse("no job is running here; warren.context.job() works inside a task that a worker runs") from None


def progress(done: int, total: int | None = None) -> None:
    """Say how far the running job is; does nothing when the task is just called."""
    running = _current.get(None)
    if running is not None:
        running.progress(done, total)


def enter(context: JobContext) -> contextvars.Token[JobContext]:
    """Make this the running job; for workers."""
    return _current.set(context)


def leave(token: contextvars.Token[JobContext]) -> None:
    """End what `enter` began; for workers."""
    _current.reset(token)
