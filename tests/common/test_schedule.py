"""Schedules are declared by values; what cannot be meant is told where it is said, or all together when they are collected."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from warren.errors import InvalidSchedule
from warren.schedule import Cron, Interval, Misfire, Once, Order, Overlap, Spec, collect, every, once
from warren.task import task


@every("0 3 * * *", tz="Europe/Paris", args=["all"], kwargs={"days": 7})
@task(queue="reports", priority=3, expires=60, timeout=9)
def report(which: str, days: int = 1) -> str:
    return f"{which} {days}"


@task
@every(seconds=30, name="often", misfire="skip", grace=timedelta(seconds=5), overlap="skip", jitter=2)
@every(timedelta(hours=1), name="hourly", paused=True)
def clean() -> None: ...


@task(result=False)
def quiet() -> None: ...


@task
def plain(count: int = 0) -> None: ...


def test_a_schedule_above_a_task_has_all_that_its_jobs_need() -> None:
    (found,), problems = collect([report])
    assert problems == ()
    assert found.name == report.name
    assert found.spec == Spec(Cron("0 3 * * *", "Europe/Paris"))
    order = found.order
    assert (order.task, order.queue, order.priority, order.expires) == (report.name, "reports", 3, 60.0)
    assert [bytes(arg) for arg in order.args] == [b'"all"']
    assert {name: bytes(value) for name, value in order.kwargs.items()} == {"days": b"7"}
    assert order.limits is None, "what a task declares stays with its code"


def test_schedules_below_a_task_are_found_too() -> None:
    found, problems = collect([clean])
    assert problems == ()
    assert {each.name: each.paused for each in found} == {"hourly": True, "often": False}
    often = next(each for each in found if each.name == "often")
    assert often.spec == Spec(Interval(30.0), Misfire.SKIP, 5.0, Overlap.SKIP, 2.0)


def test_a_task_with_schedules_is_the_task_it_was() -> None:
    assert report("a", days=2) == "a 2"
    assert clean() is None


def test_a_schedule_of_changed_options_has_these() -> None:
    every(minutes=1, name="slow")(quiet.options(queue="slow", timeout=5))
    (found,), _ = collect([quiet, quiet])
    assert found.order.queue == "slow"
    assert found.order.limits is not None
    assert found.order.limits.timeout == 5


def test_one_moment_is_that_moment() -> None:
    moment = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert once(moment).spec.rule == Once(moment.timestamp())


def test_all_problems_are_told_together() -> None:
    @every(seconds=5)
    def twice(count: int) -> None: ...

    twice.__qualname__ = "twice"
    both = task(every(seconds=7)(twice))
    _, problems = collect([both])
    assert len(problems) == 2
    assert all("cannot take these arguments" in problem for problem in problems)


def test_two_of_one_name_are_both_told() -> None:
    def again() -> None: ...

    again.__qualname__ = "again"
    named = task(every("0 1 * * *")(every(seconds=9)(again)))
    _, (problem,) = collect([named])
    assert f"two schedules have the name '{named.name}'" in problem
    assert "every(seconds=9)" in problem
    assert "every('0 1 * * *', tz='UTC')" in problem


def test_an_overlap_that_needs_results_is_refused_where_there_are_none() -> None:
    def silent() -> None: ...

    silent.__qualname__ = "silent"
    _, (problem,) = collect([task(result=False)(every(seconds=9, overlap="skip")(silent))])
    assert "needs to hear when a job has ended" in problem


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: every("* * *"), "no crontab line"),
        (lambda: every("* * * * *", seconds=3), "not both"),  # type: ignore[call-overload]
        (every, "an interval of 0 s"),
        (lambda: every(seconds=0.5), "at least 1 s"),
        (lambda: every(seconds=float("inf")), "no interval"),
        (lambda: every(seconds=1, misfire="never"), "take one of 'run_once', 'run_all', 'skip'"),  # type: ignore[call-overload]
        (lambda: every(seconds=1, overlap="no"), "overlap='no'"),  # type: ignore[call-overload]
        (lambda: every(seconds=1, grace=-1), "grace=-1"),
        (lambda: every(seconds=1, jitters=1), "no option 'jitters'"),  # type: ignore[call-overload]
        (lambda: every(seconds=1, start=datetime(2030, 1, 1)), "with a time zone"),  # noqa: DTZ001
        (lambda: once(datetime(2030, 1, 1)), "at=.*with a time zone"),  # noqa: DTZ001
        (
            lambda: every(seconds=1, start=datetime(2030, 1, 1, tzinfo=UTC), end=datetime(2029, 1, 1, tzinfo=UTC)),
            "ends before it starts",
        ),
        (lambda: every(seconds=1)(len), "take a task"),
    ],
)
def test_what_cannot_be_meant_is_refused(declare: Any, said: str) -> None:
    with pytest.raises(InvalidSchedule, match=said):
        declare()


def test_a_delay_beside_a_schedule_is_refused() -> None:
    every(seconds=5, name="late")(plain.options(delay=3))
    _, (problem,) = collect([plain])
    assert problem == ("schedule 'late': its task has a delay= or at=, and a schedule says when itself; leave them out")


def test_an_order_says_only_what_is_not_as_always() -> None:
    import msgspec

    assert msgspec.json.encode(Order("a:b")) == b'{"task":"a:b"}'
