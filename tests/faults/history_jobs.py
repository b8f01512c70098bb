"""Tasks whose every job has an end that is known beforehand."""

from warren import context
from warren.retry import Retry
from warren.task import task


@task
def square(n: int) -> int:
    return n * n


@task(result=False)
def silent(n: int) -> int:
    return n


@task(retry=Retry(attempts=3, wait=0.1))
def second_time(n: int) -> int:
    if context.job().attempt == 1:
        raise OSError("not yet")
    return -n


@task(retry=Retry(attempts=2, wait=0.1))
def never(n: int) -> int:
    raise ValueError(f"no {n}")


@task
def cancels(n: int) -> int:
    raise context.Cancel(f"not {n}")
