"""Tasks that take too long, each in its own way; what each comes to is written down by appending lines to a file."""

import asyncio
import time
from collections.abc import Callable

from tests.faults.jobs import write_down

from warren.retry import Retry
from warren.task import task

ONCE = Retry(attempts=1)
_LONG = 60
_ITEMS = 30_000_000
"""So many that summing them takes longer than the time limit of the test, and not for ever."""


@task(retry=ONCE, max_crashes=1)
def computes(path: str) -> None:
    while True:
        pass


@task(retry=ONCE, max_crashes=1)
def sleeps(path: str) -> None:
    time.sleep(_LONG)


@task(retry=ONCE, max_crashes=1)
def holds_the_gil(path: str) -> None:
    """One call into C that lets nobody else run."""
    _until_late(lambda: sum(range(_ITEMS)))
    write_down(path, said="the C code has returned")


def _until_late(call: Callable[[], object]) -> None:
    started = time.monotonic()
    while time.monotonic() < started + _LONG:
        call()


@task(retry=ONCE, max_crashes=1)
def swallows(path: str) -> str:
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        try:
            time.sleep(0.05)
        except Exception as error:  # noqa: BLE001 - that is what it is about
            write_down(path, said=f"swallowed {type(error).__name__}")
    return "went on to its end"


@task(retry=ONCE, max_crashes=1)
async def awaits(path: str) -> None:
    try:
        await asyncio.sleep(_LONG)
    except asyncio.CancelledError:
        write_down(path, said="got CancelledError")
        raise


@task(retry=ONCE, max_crashes=1)
async def cleans_up_slowly(path: str) -> None:
    try:
        await asyncio.sleep(_LONG)
    finally:
        await asyncio.sleep(2)
        write_down(path, said="finally has run")


@task(retry=ONCE, max_crashes=1)
async def blocks(path: str) -> None:
    """A coroutine that should have been a plain task."""
    time.sleep(2)  # noqa: ASYNC251 - the same
    write_down(path, said="went on")
    await asyncio.sleep(_LONG)


@task(retry=Retry(attempts=50, wait=0.2))
def fails(path: str) -> None:
    write_down(path, at=time.time())
    raise ConnectionError("not yet")
