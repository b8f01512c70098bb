"""One attempt, inside a pool process: arguments in, user code run, an outcome out. The only place that runs user code."""

import asyncio
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

from warren import context, limits
from warren.codec import NotEncodable, encode
from warren.context import Cancel, Fail, JobContext, RetryLater, TimeLimitExceeded
from warren.errors import InvalidArguments
from warren.job import Body
from warren.options import Options, in_seconds
from warren.outcome import Cancelled, Done, Failed, Failure, Outcome, Rejected, Retry, printable
from warren.retry import Retry as RetryPolicy
from warren.task import Task
from warren.worker.frames import Run

_TEXT_CHARACTERS = 8_000


class Attempts:
    """Runs attempts one after another; owns the event loop of coroutine tasks."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, task: Task[..., Any], run: Run, body: Body, report: Any) -> Outcome:  # noqa: PLR0911 - one an outcome
        """Run one attempt and say what it came to; never raises, whatever the task does.

        Args:
            task: found by its name.
            run: which job, which attempt.
            body: the arguments; for an item of a map, the item first.
            report: called by the task with its progress.
        """
        try:
            args, kwargs = task.signature.load(body.args, body.kwargs)
        except InvalidArguments as error:
            return Rejected("invalid_arguments", error.why)
        options = limits.applied(run.limits, task.settings)
        try:
            value = self._call(task, options, (args, kwargs), run, report)
        except RetryLater as turn:
            return Retry(turn.delay, Failure("RetryLater", printable(str(turn))), counted=False)
        except Cancel as turn:
            return Cancelled(printable(str(turn)) or "the task cancelled itself")
        except Fail as turn:
            return Failed(failure_of(turn))
        except BaseException as error:  # noqa: BLE001 - a task may raise anything, SystemExit included
            return _failed(options.retry, run, error)
        try:
            return Done(encode(value))
        except NotEncodable as error:
            said = f"it returned what cannot be written as JSON: {error}"
            return Failed(Failure("NotEncodable", said), reason="bad_result")

    def _call(
        self, task: Task[..., Any], options: Options, call: tuple[list[Any], dict[str, Any]], run: Run, report: Any
    ) -> Any:
        args, kwargs = call
        limit = in_seconds(options.timeout)
        deadline = None if limit is None else time.time() + limit
        token = context.enter(
            JobContext(run.job_id, run.task, run.queue, run.attempt, run.failures, run.last_error, deadline, report)
        )
        try:
            if task.is_coroutine:
                # A context of its own: a runner would go on with the one it was first used in.
                return self._loop().run(_limited(task.function(*args, **kwargs), limit), context=copy_context())
            with _time_limit(limit):
                return task.function(*args, **kwargs)
        finally:
            context.leave(token)

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner


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
def _time_limit(limit: float | None) -> Iterator[None]:
    """Raise TimeLimitExceeded in the running task when its time is over; a signal reaches also code that waits in C."""
    if limit is None:
        yield
        return

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
