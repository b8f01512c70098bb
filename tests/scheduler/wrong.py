"""Schedules that cannot be."""

from warren.schedule import every
from warren.task import task


@every("61 * * * *", name="minute")
@every("* * * * *", tz="Europe/Pari", name="zone")
@every(seconds=9, args=["x"], name="arguments")
@every(seconds=9, name="fine")
@task
def nothing() -> None: ...
