"""The jobs as Warren's tasks."""

import time

from benchmarks.jobs import work

from warren.task import task


@task(result=False)
def nothing(payload: str) -> None:
    work.nothing(payload)


@task
def answered(payload: str) -> int:
    """Do nothing, and have a result."""
    work.nothing(payload)
    return len(payload)


@task(result=False)
def gated(payload: str) -> None:
    work.gated(payload)


@task(result=False)
def late(sent: float, payload: str) -> None:
    work.late(sent, payload)


@task(result=False)
def spin(seconds: float) -> None:
    work.spin(seconds)


@task
def begun(_payload: str) -> float:
    """Tell when it began."""
    return time.time()


@task
def square(number: int) -> int:
    return work.square(number)


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


delayed = nothing.options(delay=3600)
