"""One attempt comes to an outcome, whatever the task does; nothing ever comes out of it but that."""

import asyncio
import dataclasses
import os
import signal
import sys
import threading
import time
from typing import Any

import msgspec
import pytest
import tenacity

from warren import context
from warren.context import Cancel, Fail, RetryLater, TimeLimitExceeded
from warren.errors import WrongUse
from warren.job import Body
from warren.limits import Limits
from warren.outcome import Cancelled, Done, Failed, Outcome, Rejected, Retry
from warren.retry import Retry as Policy
from warren.task import Task, task
from warren.worker.attempt import Attempt, Report
from warren.worker.frames import Ended, Run, pack

ONCE = Policy(attempts=1)


def run_of(attempt: int = 1, failures: int = 0, **more: Any) -> Run:
    return Run("the-id", "m:f", "q", attempt, failures, "ValueError: before", 0.0, b"{}", **more)


def body_of(*args: object, **kwargs: object) -> Body:
    return Body(
        "m:f",
        [msgspec.Raw(msgspec.json.encode(value)) for value in args],
        {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in kwargs.items()},
    )


def silent(done: int, total: int | None) -> None:
    """Report no progress."""


def outcome_of(one: Task[..., Any], *args: object, run: Run | None = None, **kwargs: object) -> Outcome:
    outcome = attempted(one, run or run_of(), body_of(*args, **kwargs), silent)
    assert pack(Ended(outcome, 0.0))
    return outcome


def attempted(one: Task[..., Any], run: Run, body: Body, report: Report) -> Outcome:
    """Run an attempt in this thread; of a coroutine, on a loop of its own."""
    attempt = Attempt(one, run, report)
    if one.is_coroutine:
        return asyncio.run(attempt.await_with(body.args, body.kwargs))
    return attempt.run_with(body.args, body.kwargs)


# --- what tasks do ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Point:
    x: int


@task
def double(point: Point, times: int = 2) -> list[Point]:
    assert isinstance(point, Point)
    return [point] * times


@task
async def fetch(a: int) -> int:
    await asyncio.sleep(0)
    return a + 1


@task
def who() -> list[object]:
    job = context.job()
    context.progress(1, 2)
    return [job.id, job.task, job.queue, job.attempt, job.failures, job.last_error, job.deadline]


@task
async def who_async() -> list[object]:
    return [context.job().id, context.job().attempt]


@task
def opaque() -> object:
    return object()


RAISED: dict[str, BaseException] = {}


@task
def plain(what: str) -> None:
    raise RAISED[what]


@task
async def coroutine(what: str) -> None:
    raise RAISED[what]


def raising(error: BaseException, kind: Task[..., Any], **options: Any) -> Outcome:
    RAISED["it"] = error
    return outcome_of(kind.options(**options) if options else kind, "it")


both = pytest.mark.parametrize("kind", [plain, coroutine], ids=["plain", "coroutine"])


# --- it returns ------------------------------------------------------------------------------------------------------


def test_arguments_are_rebuilt_and_the_result_is_json() -> None:
    assert outcome_of(double, {"x": 1}) == Done(b'[{"x":1},{"x":1}]')
    assert outcome_of(double, {"x": 1}, times=1) == Done(b'[{"x":1}]')


def test_a_coroutine_is_awaited() -> None:
    assert outcome_of(fetch, 1) == Done(b"2")


def test_a_result_that_json_cannot_carry_is_a_failure_for_good() -> None:
    outcome = outcome_of(opaque)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "bad_result"
    assert "builtins.object cannot be written as JSON" in outcome.failure.message


@pytest.mark.parametrize("body", [body_of(), body_of({"x": "1"}), body_of({"x": 1}, colour=1)])
def test_arguments_that_do_not_fit_are_rejected_untried(body: Body) -> None:
    outcome = attempted(double, run_of(), body, silent)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "invalid_arguments"
    assert outcome.detail


def test_arguments_of_broken_bytes_are_rejected_untried() -> None:
    outcome = attempted(fetch, run_of(), Body("m:f", [msgspec.Raw(b'"\xff"')]), silent)
    assert isinstance(outcome, Rejected)


# --- it knows its job ------------------------------------------------------------------------------------------------


def test_a_task_knows_its_job_and_can_tell_its_progress() -> None:
    told: list[tuple[int, int | None]] = []
    outcome = attempted(who, run_of(3, 2), body_of(), lambda done, total: told.append((done, total)))
    assert outcome == Done(b'["the-id","m:f","q",3,2,"ValueError: before",null]')
    assert told == [(1, 2)]


def test_each_coroutine_knows_its_own_job() -> None:
    assert outcome_of(who_async, run=run_of(1)) == Done(b'["the-id",1]')
    assert outcome_of(who_async, run=run_of(2)) == Done(b'["the-id",2]')


def test_no_job_is_left_behind() -> None:
    raising(ValueError(), plain)
    with pytest.raises(WrongUse):
        context.job()


# --- it raises -------------------------------------------------------------------------------------------------------


@both
def test_an_exception_is_retried_by_the_policy(kind: Task[..., Any]) -> None:
    outcome = raising(ValueError("no"), kind, retry=Policy(wait=7))
    assert isinstance(outcome, Retry)
    assert (outcome.delay, outcome.counted, str(outcome.failure)) == (7.0, True, "ValueError: no")


@both
@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        MemoryError(),
        RecursionError(),
        TimeoutError("my own"),
        StopAsyncIteration(),
        BaseExceptionGroup("several", [ValueError("a"), KeyboardInterrupt()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_raised_is_a_failure_and_the_next_attempt_is_not_harmed(
    kind: Task[..., Any], error: BaseException
) -> None:
    outcome = raising(error, kind, retry=ONCE)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.failure.type) == ("failed", type(error).__name__)
    assert outcome_of(fetch, 1) == Done(b"2")


@both
def test_the_turns_a_task_may_take(kind: Task[..., Any]) -> None:
    later = raising(RetryLater(5, "busy"), kind, retry=ONCE)
    assert isinstance(later, Retry)
    assert (later.delay, later.counted, later.failure.message) == (5.0, False, "busy")
    assert raising(Cancel("enough"), kind) == Cancelled("enough")
    assert raising(Cancel(), kind) == Cancelled("the task cancelled itself")
    failed = raising(Fail("no such user"), kind)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.failure.message) == ("failed", "no such user")


def test_the_policy_counts_failures_and_not_attempts() -> None:
    RAISED["it"] = ValueError("no")
    twice = plain.options(retry=Policy(attempts=2, wait=1))
    assert isinstance(outcome_of(twice, "it", run=run_of(9, 0)), Retry)
    assert isinstance(outcome_of(twice, "it", run=run_of(9, 1)), Failed)


def test_a_policy_that_raises_is_told_together_with_the_failure() -> None:
    def broken(_: object) -> bool:
        raise LookupError("policy")

    declared = task(name="m:f", retry=Policy(retry=tenacity.retry_if_exception(broken)))(plain.function)
    outcome = raising(ValueError("no"), declared)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "bad_policy"
    assert "LookupError: policy" in outcome.failure.message
    assert "ValueError: no" in outcome.failure.message


def test_a_call_may_have_limits_of_its_own() -> None:
    RAISED["it"] = ValueError("no")
    outcome = outcome_of(plain, "it", run=run_of(limits=Limits(attempts=2, wait=3.0)))
    assert isinstance(outcome, Retry)
    assert outcome.delay == 3.0
    assert isinstance(outcome_of(plain, "it", run=run_of(limits=Limits(attempts=1))), Failed)


# --- how a failure is told -------------------------------------------------------------------------------------------


@both
def test_a_traceback_begins_in_the_task(kind: Task[..., Any]) -> None:
    outcome = raising(ValueError("no"), kind, retry=ONCE)
    assert isinstance(outcome, Failed)
    lines = outcome.failure.traceback.splitlines()
    assert lines[1].lstrip().startswith(f'File "{__file__}"')
    assert lines[-1] == "ValueError: no"


def test_a_cause_is_told_too() -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("why")
    outcome = raising(error, plain, retry=ONCE)
    assert isinstance(outcome, Failed)
    assert "KeyError: 'why'" in outcome.failure.traceback


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_exception_that_cannot_be_told_is_still_a_failure() -> None:
    outcome = raising(Unspeakable(), plain, retry=ONCE)
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "Unspeakable"


def test_a_message_of_odd_file_names_can_be_sent() -> None:
    outcome = raising(FileNotFoundError(os.fsdecode(b"caf\xe9.txt")), plain, retry=ONCE)
    assert isinstance(outcome, Failed)
    assert "caf" in outcome.failure.message


def test_a_huge_message_is_cut() -> None:
    outcome = raising(ValueError("x" * 5_000_000), plain, retry=ONCE)
    assert isinstance(outcome, Failed)
    assert len(pack(Ended(outcome, 0.0))) < 100_000


# --- it takes too long -----------------------------------------------------------------------------------------------


@task(timeout=0.05, retry=ONCE)
def waits() -> None:
    threading.Event().wait(30)


@task(timeout=0.05, retry=ONCE)
def computes() -> None:
    while True:
        sum(range(1000))


@task(timeout=0.05, retry=ONCE)
async def waits_async() -> None:
    await asyncio.Event().wait()


@task(timeout=0.05)
def cleans_up() -> str:
    try:
        threading.Event().wait(30)
    except TimeLimitExceeded as error:
        return str(error)
    return "late"


CLEANED: list[str] = []


@task(timeout=0.05, retry=ONCE)
async def cleans_up_async() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        CLEANED.append("yes")


@pytest.mark.parametrize("late", [waits, computes, waits_async], ids=lambda one: one.name.partition(":")[2])
def test_a_task_over_its_time_limit_fails(late: Task[..., Any]) -> None:
    outcome = outcome_of(late)
    assert isinstance(outcome, Failed)
    assert str(outcome.failure) == "TimeLimitExceeded: over its time limit of 0.05 s"


def test_a_task_may_catch_its_time_limit() -> None:
    assert outcome_of(cleans_up) == Done(b'"over its time limit of 0.05 s"')


def test_a_coroutine_may_clean_up_after_its_time_limit() -> None:
    CLEANED.clear()
    assert isinstance(outcome_of(cleans_up_async), Failed)
    assert CLEANED == ["yes"]


@task(timeout=60)
def remaining() -> float | None:
    return context.job().remaining


def test_a_task_in_time_knows_how_much_is_left_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    outcome = outcome_of(remaining)
    assert isinstance(outcome, Done)
    assert 50 < float(outcome.result) <= 60
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.parametrize("late", [waits, computes, waits_async], ids=lambda one: one.name.partition(":")[2])
def test_a_deadline_before_the_time_limit_ends_a_task(late: Task[..., Any]) -> None:
    outcome = outcome_of(late.options(timeout=600), run=run_of(deadline=time.time() + 0.05))
    assert isinstance(outcome, Failed)
    assert str(outcome.failure) == "TimeLimitExceeded: over its deadline"


def test_the_time_limit_before_the_deadline_is_what_a_task_knows() -> None:
    outcome = outcome_of(remaining, run=run_of(deadline=time.time() + 600))
    assert isinstance(outcome, Done)
    assert 50 < float(outcome.result) <= 60


@pytest.mark.parametrize("kind", [plain, coroutine], ids=["plain", "coroutine"])
def test_a_cancelled_error_that_nobody_asked_for_is_a_failure(kind: Task[..., Any]) -> None:
    for error in (context.Cancelled("mine"), asyncio.CancelledError("mine")):
        outcome = raising(error, kind)
        assert isinstance(outcome, Retry)
        assert "mine" in str(outcome.failure)


def test_what_was_cancelled_before_it_began_is_not_begun() -> None:
    attempt = Attempt(who, run_of(), silent)
    attempt.interrupt("too late")
    assert attempt.run_with([], {}) == Cancelled("too late")


def test_a_timeout_error_of_its_own_is_not_the_time_limit() -> None:
    outcome = raising(TimeoutError("mine"), coroutine, timeout=60)
    assert isinstance(outcome, Retry)
    assert str(outcome.failure) == "TimeoutError: mine"


def test_exiting_says_with_what() -> None:
    @task(name="m:f", retry=ONCE)
    def leaves() -> None:
        sys.exit("no more")

    outcome = outcome_of(leaves)
    assert isinstance(outcome, Failed)
    assert str(outcome.failure) == "SystemExit: no more"
