"""The tasks that are cancelled; plain ones and coroutines."""

import asyncio
import time

from tests.faults.jobs import wait_for, write_down

from warren import context
from warren.retry import Retry
from warren.task import task


@task
def plain(path: str, until: str = "") -> str:
    write_down(path, began=context.job().attempt)
    try:
        wait_for(until)
    finally:
        write_down(path, cleaned_up=True)
    return "done"


@task
def deaf(path: str) -> None:
    """Goes on whatever is raised in it."""
    write_down(path, began=context.job().attempt)
    while True:
        try:
            time.sleep(30)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@task
async def coroutine(path: str) -> None:
    write_down(path, began=context.job().attempt)
    try:
        await asyncio.sleep(3600)
    finally:
        write_down(path, cleaned_up=True)


@task(retry=Retry(attempts=3, wait=3600))
def failing(path: str) -> None:
    write_down(path, began=context.job().attempt)
    raise ConnectionError("not now")


@task
def item(number: int, path: str, until: str) -> int:
    """Number 0 is done at once, the others wait."""
    write_down(path, began=number)
    wait_for(until if number else "")
    return number
