"""The running job, for the task that it runs; and nothing where none runs."""

import time
from datetime import timedelta

import pytest
import structlog

from warren import context
from warren.context import Cancel, Fail, JobContext, RetryLater, TimeLimitExceeded, Turn
from warren.errors import WrongUse

Told = list[tuple[int, int | None]]


def running(told: Told, deadline: float | None = None) -> JobContext:
    return JobContext(
        "id", "m:f", "q", 3, 2, "ValueError: no", deadline, lambda done, total: told.append((done, total))
    )


def test_outside_a_job_there_is_none() -> None:
    with pytest.raises(WrongUse, match="no job is running here"):
        context.job()


def test_outside_a_job_progress_goes_nowhere() -> None:
    context.progress(1, 10)


def test_inside_a_job_it_can_be_asked_and_tells_its_progress() -> None:
    told: Told = []
    token = context.enter(running(told))
    try:
        job = context.job()
        assert (job.id, job.task, job.queue, job.attempt, job.failures) == ("id", "m:f", "q", 3, 2)
        assert job.last_error == "ValueError: no"
        context.progress(1, 10)
        job.progress(2)
    finally:
        context.leave(token)
    assert told == [(1, 10), (2, None)]
    with pytest.raises(WrongUse):
        context.job()


def test_the_time_that_remains_is_until_the_deadline() -> None:
    assert running([]).remaining is None
    remaining = running([], time.time() + 100).remaining
    assert remaining is not None
    assert 90 < remaining <= 100


def test_the_jobs_logger_names_it() -> None:
    with structlog.testing.capture_logs() as lines:
        running([]).logger.info("half way", at=5)
    assert lines == [{"event": "half way", "log_level": "info", "job_id": "id", "task": "m:f", "attempt": 3, "at": 5}]


def test_turns_are_not_failures_and_say_why() -> None:
    assert RetryLater(5).delay == 5.0
    assert RetryLater(timedelta(minutes=1)).delay == 60.0
    assert str(RetryLater(5)) == "the task asked to be run later"
    assert str(RetryLater(5, "busy")) == "busy"
    assert all(issubclass(kind, Turn) for kind in (RetryLater, Cancel, Fail))
    assert not issubclass(TimeLimitExceeded, Turn)
