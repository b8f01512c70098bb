"""The tasks that are measured."""

import time

from warren.task import task


@task(result=False)
def nothing(payload: str) -> None:
    """Take a hundred bytes and do nothing."""


@task
def now() -> float:
    """Tell when it ran."""
    return time.time()


@task
def square(number: int) -> int:
    return number * number
