"""What `warren check` looks at in the schedules that modules declare."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from warren.console.checkup import Finding, Level
from warren.console.output import clock
from warren.schedule import Schedule, collect
from warren.settings import Settings
from warren.task import Task

_EXTRA = frozenset({"apscheduler"})


def of_schedules(tasks: Sequence[Task[Any, Any]], settings: Settings) -> Iterator[Finding]:
    """Look at the schedules of these tasks; nothing where there are none."""
    schedules, problems = collect(tasks)
    for problem in problems:
        yield Finding(Level.ERROR, "schedules", problem)
    if not schedules:
        return
    try:
        yield from _of_rules(schedules, settings)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        said = f"their rules were not looked at: {error.name} is not installed here (pip install 'warren[store]')"
        yield Finding(Level.WARNING, "schedules", said)


def _of_rules(schedules: Sequence[Schedule], settings: Settings) -> Iterator[Finding]:
    from warren.scheduler.loading import problems_of  # noqa: PLC0415 - its library is an extra
    from warren.scheduler.triggers import next_due  # noqa: PLC0415

    problems = list(problems_of(schedules, settings.payload_limit))
    for problem in problems:
        yield Finding(Level.ERROR, "schedules", problem)
    if problems:
        return
    for schedule in schedules:
        due = next_due(schedule.spec, time.time())
        what = f"schedule {schedule.name}"
        if due is None:
            yield Finding(Level.WARNING, what, "is never due from now on")
        else:
            yield Finding(Level.OK, what, f"is due next at {clock(due)} UTC")
