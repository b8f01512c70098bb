"""One attempt, inside a pool process: arguments in, user code run, an outcome out. The only place that runs user code.

A plain task runs in the process's main thread, where a signal reaches it; a coroutine task on the event loop of another.
"""

import asyncio
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import msgspec

from warren import context, limits
from warren.codec import NotEncodable, encode
from warren.context import Cancel, Fail, JobContext, RetryLater, TimeLimitExceeded
from warren.errors import InvalidArguments
from warren.options import in_seconds
from warren.outcome import Cancelled, Done, Failed, Failure, Outcome, Rejected, Retry, printable
from warren.retry import Retry as RetryPolicy
from warren.task import Task
from warren.worker.frames import Run

_TEXT_CHARACTERS = 8_000
_LEAST_SECONDS = 0.001
"""A time limit of 0 would be none."""
Report = Callable[[int, int | None], None]


class Attempt:
    """The attempt at one job, or at the items of a unit: what these have in common is looked up once.

    Attributes:
        task: what is run.
        options: the task's, with the limits of this call.
        cancelled_for: why somebody wants it to end, once they do.
    """

    def __init__(self, task: Task[..., Any], run: Run, report: Report) -> None:
        self.task = task
        self.options = limits.applied(run.limits, task.settings)
        self.cancelled_for = ""
        self._inside = False
        """Whether the task's own code runs, and may be interrupted."""
        self._late = ""
        self._run = run
        self._limit = in_seconds(self.options.timeout)
        self._context = JobContext(
            run.job_id, run.task, run.queue, run.attempt, run.failures, run.last_error, None, report
        )

    def run_with(self, args: Sequence[msgspec.Raw], kwargs: Mapping[str, msgspec.Raw]) -> Outcome:
        """Rebuild the arguments, run a plain task and say what it came to."""
        rebuilt = self._rebuilt(args, kwargs)
        return rebuilt if isinstance(rebuilt, Rejected) else self.call(*rebuilt)

    async def await_with(self, args: Sequence[msgspec.Raw], kwargs: Mapping[str, msgspec.Raw]) -> Outcome:
        """Rebuild the arguments, await a coroutine task and say what it came to; in a context of its own."""
        rebuilt = self._rebuilt(args, kwargs)
        if isinstance(rebuilt, Rejected):
            return rebuilt
        args, kwargs = rebuilt
        try:
            limit, running = self._limits()
            context.enter(running)
            value = await _limited(self.task.function(*args, **kwargs), limit, self._late)
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit included
            return self._came_to(error)
        return _returned(value)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
        """Run a plain task and say what it came to; never raises, whatever the task does."""
        try:
            value = self._call(args, kwargs)
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit included
            return self._came_to(error)
        return _returned(value)

    def interrupt(self, why: str) -> None:
        """Raise `Cancelled` in the task's code, if that runs; called by a signal, in the thread that runs it."""
        self.cancelled_for = why
        if self._inside:
            self._inside = False
            raise context.Cancelled(why)

    def _rebuilt(
        self, args: Sequence[msgspec.Raw], kwargs: Mapping[str, msgspec.Raw]
    ) -> Rejected | tuple[Sequence[Any], Mapping[str, Any]]:
        try:
            return self.task.signature.load(args, kwargs)
        except InvalidArguments as error:
            return Rejected("invalid_arguments", error.why)
        except Exception as error:  # noqa: BLE001 - annotated types have code of their own
            return Rejected("invalid_arguments", f"{type(error).__name__}: {_said(error)}")

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        limit, running = self._limits()
        token = context.enter(running)
        try:
            self._inside = True
            if self.cancelled_for:
                raise context.Cancelled(self.cancelled_for)
            if limit is None:
                return self.task.function(*args, **kwargs)
            with _time_limit(limit, self._late):
                return self.task.function(*args, **kwargs)
        finally:
            self._inside = False
            context.leave(token)

    def _limits(self) -> tuple[float | None, JobContext]:
        """Return the seconds that there are, and what the task is told of them and of its job."""
        limit, deadline = self._limit, self._run.deadline
        if limit is None and deadline is None:
            return None, self._context
        now = time.time()
        if deadline is None or (limit is not None and now + limit < deadline):
            self._late = f"over its time limit of {limit:g} s"
            return limit, replace(self._context, deadline=now + (limit or 0.0))
        self._late = "over its deadline"
        return max(deadline - now, _LEAST_SECONDS), replace(self._context, deadline=deadline)

    def _came_to(self, error: BaseException) -> Outcome:
        """Return what a raised exception means for the job."""
        match error:
            case RetryLater():
                return Retry(error.delay, Failure("RetryLater", printable(str(error))), counted=False)
            case Cancel():
                return Cancelled(printable(str(error)) or "the task cancelled itself")
            case Fail():
                return Failed(failure_of(error))
            case asyncio.CancelledError() | context.Cancelled() if self.cancelled_for:
                return Cancelled(self.cancelled_for)
        return _failed(self.options.retry, self._run, error)


def _returned(value: Any) -> Outcome:
    try:
        return Done(encode(value))
    except NotEncodable as error:
        said = f"it returned what cannot be written as JSON: {error}"
        return Failed(Failure("NotEncodable", said), reason="bad_result")
    except Exception as error:  # noqa: BLE001 - returned objects have code of their own
        return Failed(failure_of(error), reason="bad_result")


def failure_of(error: BaseException) -> Failure:
    """Return an exception as text, its traceback from the task's own first frame."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_HERE):
        own = own.tb_next
    text = "".join(traceback.format_exception(type(error), error, own or error.__traceback__))
    return Failure(
        printable(type(error).__qualname__),
        printable(_said(error))[:_TEXT_CHARACTERS],
        printable(text[-_TEXT_CHARACTERS:]),
    )


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - user code again
        return f"(its text cannot be had: {type(broken).__name__})"


def _failed(policy: RetryPolicy, run: Run, error: BaseException) -> Outcome:
    failure = failure_of(error)
    try:
        delay = policy.decide(run.failures + 1, error, run.elapsed)
    except Exception as broken:  # noqa: BLE001 - a policy is user code as well
        said = f"its retry policy raised {type(broken).__name__}: {broken}; the attempt had raised {failure}"
        return Failed(Failure(failure.type, said, failure.traceback), reason="bad_policy")
    return Failed(failure) if delay is None else Retry(delay, failure)


async def _limited(work: Any, limit: float | None, late: str) -> Any:
    try:
        async with asyncio.timeout(limit) as scope:
            return await work
    except TimeoutError:
        if scope.expired():
            raise TimeLimitExceeded(late) from None
        raise


@contextmanager
def _time_limit(limit: float, late: str) -> Iterator[None]:
    """Raise TimeLimitExceeded in the running task when its time is over; a signal reaches also code that waits in C."""

    def over(_: int, __: FrameType | None) -> None:
        raise TimeLimitExceeded(late)

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_HERE = (__file__, asyncio.__path__[0])
