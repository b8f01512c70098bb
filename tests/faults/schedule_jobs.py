"""Schedules for tests that hurt schedulers, and the task of theirs."""

from warren.schedule import every
from warren.task import task


@every(seconds=1, name="tick")
@task(queue="ticks")
def tick() -> None: ...
