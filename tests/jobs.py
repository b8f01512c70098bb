"""Tasks for tests that run real workers: what each does is chosen by its arguments."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from warren.context import Cancel, Fail
from warren.retry import Retry
from warren.task import task

ONCE = Retry(attempts=1)


@task
def add(a: int, b: int = 2) -> int:
    return a + b


@task
def echo(value: Any) -> Any:
    return value


@task(retry=ONCE)
def fail(why: str = "it was asked to") -> None:
    raise ValueError(why)


@task(retry=ONCE)
def need(path: str) -> str:
    """Succeeds once the file is there: a cause that can be mended."""
    return Path(path).read_text()


@task(max_crashes=1)
def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def cancel(why: str) -> None:
    raise Cancel(why)


@task
def give_up(why: str) -> None:
    raise Fail(why)


@task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task(retry=ONCE)
def square(number: int, plus: int = 0) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number + plus
