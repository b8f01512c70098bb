"""What `warren check` finds in schedules."""

from datetime import UTC, datetime
from typing import Any

from tests.scheduler import tasks, wrong

from warren.console.checkup import Level
from warren.console.checkup_schedules import of_schedules
from warren.schedule import once
from warren.settings import Settings
from warren.task import Task, task


@once(datetime(2001, 1, 1, tzinfo=UTC), name="over")
@task
def over() -> None: ...


def found(*of: Task[Any, Any]) -> list[tuple[Level, str]]:
    return [(finding.level, f"{finding.what}: {finding.said}") for finding in of_schedules(of, Settings())]


def test_tasks_without_schedules_are_not_spoken_of() -> None:
    assert found() == []


def test_a_good_schedule_says_when_it_is_due() -> None:
    ((level, said),) = found(tasks.tick)
    assert level is Level.OK
    assert said.startswith("schedule tick: is due next at 2")


def test_every_problem_is_an_error() -> None:
    told = found(wrong.nothing)
    assert {level for level, _ in told} == {Level.ERROR}
    assert [name for name in ("arguments", "minute", "zone") if not any(f"'{name}'" in said for _, said in told)] == []


def test_one_that_is_never_due_is_a_warning() -> None:
    assert found(over) == [(Level.WARNING, "schedule over: is never due from now on")]


def test_a_schedule_too_big_for_a_message_is_an_error() -> None:
    small = Settings(payload_limit=10)
    (finding,) = of_schedules([tasks.tick], small)
    assert finding.level is Level.ERROR
    assert "the limit is 10" in finding.said
