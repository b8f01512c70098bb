"""One attempt, inside a pool process: arguments in, user code run, an outcome out. The only place that runs user code."""

import asyncio
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from types import FrameType
from typing import Any

import msgspec

from warren import context, limits
from warren.codec import NotEncodable, encode
from warren.context import Cancel, Fail, JobContext, RetryLater, TimeLimitExceeded
from warren.errors import InvalidArguments
from warren.job import Body
from warren.options import in_seconds
from warren.outcome import Cancelled, Done, Failed, Failure, Outcome, Rejected, Retry, printable
from warren.retry import Retry as RetryPolicy
from warren.task import Task
from warren.worker.frames import Run

_TEXT_CHARACTERS = 8_000
Report = Callable[[int, int | None], None]


class Attempts:
    """Makes attempts, one after another; owns the event loop of coroutine tasks."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, task: Task[..., Any], run: Run, body: Body, report: Report) -> Outcome:
        """Run one attempt and say what it came to; never raises, whatever the task does.

        Args:
            task: found by its name.
            run: which job, which attempt.
            body: the arguments.
            report: called by the task with its progress.
        """
        return self.of(task, run, report).run_with(body.args, body.kwargs)

    def of(self, task: Task[..., Any], run: Run, report: Report) -> "Attempt":
        """Return a job's attempt, to be run with its arguments or with those of each item."""
        return Attempt(task, run, report, self._loop)

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner


class Attempt:
    """The attempt at one job, or at the items of a unit: what these have in common is looked up once.

    Attributes:
        task: what is run.
        options: the task's, with the limits of this call.
    """

    def __init__(self, task: Task[..., Any], run: Run, report: Report, loop: Callable[[], asyncio.Runner]) -> None:
        self.task = task
        self.options = limits.applied(run.limits, task.settings)
        self._run, self._loop = run, loop
        self._limit = in_seconds(self.options.timeout)
        self._is_coroutine = task.is_coroutine
        self._context = JobContext(
            run.job_id, run.task, run.queue, run.attempt, run.failures, run.last_error, None, report
        )

    def run_with(self, args: Sequence[msgspec.Raw], kwargs: Mapping[str, msgspec.Raw]) -> Outcome:
        """Rebuild the arguments, run the task and say what it came to."""
        try:
            rebuilt = self.task.signature.load(args, kwargs)
        except InvalidArguments as error:
            return Rejected("invalid_arguments", error.why)
        return self.call(*rebuilt)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
        """Run the task and say what it came to; never raises, whatever the task does."""
        try:
            value = self._call(args, kwargs)
        except RetryLater as turn:
            return Retry(turn.delay, Failure("RetryLater", printable(str(turn))), counted=False)
        except Cancel as turn:
            return Cancelled(printable(str(turn)) or "the task cancelled itself")
        except Fail as turn:
            return Failed(failure_of(turn))
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit included
            return _failed(self.options.retry, self._run, error)
        try:
            return Done(encode(value))
        except NotEncodable as error:
            said = f"it returned what cannot be written as JSON: {error}"
            return Failed(Failure("NotEncodable", said), reason="bad_result")

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        limit, running = self._limit, self._context
        if limit is not None:
            running = replace(running, deadline=time.time() + limit)
        token = context.enter(running)
        try:
            if self._is_coroutine:
                # A context of its own: a runner would go on with the one it was first used in.
                return self._loop().run(_limited(self.task.function(*args, **kwargs), limit), context=copy_context())
            if limit is None:
                return self.task.function(*args, **kwargs)
            with _time_limit(limit):
                return self.task.function(*args, **kwargs)
        finally:
            context.leave(token)


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


async def _limited(work: Any, limit: float | None) -> Any:
    try:
        async with asyncio.timeout(limit) as scope:
            return await work
    except TimeoutError:
        if scope.expired():
            raise TimeLimitExceeded(f"over its time limit of {limit:g} s") from None
        raise


@contextmanager
def _time_limit(limit: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the running task when its time is over; a signal reaches also code that waits in C."""

    def over(_: int, __: FrameType | None) -> None:
        raise TimeLimitExceeded(f"over its time limit of {limit:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_HERE = (__file__, asyncio.__path__[0])
