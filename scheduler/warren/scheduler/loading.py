"""The schedules that modules declare."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from warren.errors import InvalidSchedule, PayloadTooLarge, StartError
from warren.job import Body, encode_body
from warren.schedule import Schedule, collect
from warren.scheduler.triggers import check
from warren.task import Task


def load(modules: Sequence[str], payload_limit: int) -> tuple[Schedule, ...]:
    """Import modules and return the schedules of the tasks in them.

    Raises:
        StartError: with every problem found.
    """
    tasks, problems = _tasks_of(modules)
    found, wrong = collect(tasks)
    problems += [*wrong, *problems_of(found, payload_limit)]
    if problems:
        raise StartError("; ".join(problems))
    return found


def problems_of(schedules: Iterable[Schedule], payload_limit: int) -> Iterator[str]:
    """Tell what is wrong with schedules whose declaration as such is possible."""
    for schedule in schedules:
        order = schedule.order
        try:
            check(schedule.spec)
        except InvalidSchedule as error:
            yield f"schedule {schedule.name!r}: {error}"
        size = len(encode_body(Body(order.task, order.args, order.kwargs)))
        if size > payload_limit:
            yield f"schedule {schedule.name!r}: {PayloadTooLarge(order.task, size, payload_limit)}"


def _tasks_of(modules: Sequence[str]) -> tuple[list[Task[..., Any]], list[str]]:
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as the worker's processes have it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    tasks: list[Task[..., Any]] = []
    problems: list[str] = []
    for name in modules:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # ours is the document
                module = importlib.import_module(name)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problems.append(f"module {name!r} cannot be imported: {type(error).__name__}: {error}")
            continue
        tasks += [value for value in vars(module).values() if isinstance(value, Task)]
    return tasks, problems
