"""Schedules for a scheduler that is started by tests, good ones and wrong ones."""

from warren.schedule import every
from warren.task import task


@every(seconds=1, name="tick", args=[3])
@task(queue="ticks")
def tick(count: int) -> int:
    return count
