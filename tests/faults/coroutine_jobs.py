"""Coroutine tasks of the tests, and one plain one; what was run is written down by appending lines to a file."""

import asyncio
import dataclasses
import os
import signal
import time
from pathlib import Path

from tests.faults.jobs import wait_for, write_down

from warren import context
from warren.retry import Retry
from warren.task import task

ONCE = Retry(attempts=1)


async def gate(path: str) -> None:
    """Returns when this file is there."""
    while not Path(path).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.01)


@task(retry=ONCE)
async def record(path: str, number: int, until: str = "") -> int:
    write_down(path, number=number, attempt=context.job().attempt, begins=True)
    if until:
        await gate(until)
    write_down(path, number=number, at=time.time())
    return number


@task(retry=ONCE)
async def nap(number: int, seconds: float = 0.1) -> int:
    await asyncio.sleep(seconds)
    return number


@task(retry=ONCE)
async def block(path: str, until: str) -> int:
    """Stands in the way of everybody on its loop."""
    write_down(path, number=-1, begins=True)
    wait_for(until)
    return -1


@task(retry=ONCE)
async def stubborn(path: str, number: int) -> None:
    """Will not be cancelled."""
    write_down(path, number=number, begins=True)
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            write_down(path, number=number, cancelled=True)


@task(retry=ONCE, max_crashes=1)
async def kill_process(path: str, number: int, after: str, in_subtask: bool = False) -> None:
    """Kills its process once a file is there, in its own code or in that of a task that it makes."""
    write_down(path, number=number, begins=True)
    await gate(after)
    if in_subtask:
        await asyncio.create_task(_kill())
    await _kill()


async def _kill() -> None:
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)


@task(retry=ONCE)
def record_plainly(path: str, number: int, until: str = "") -> int:
    write_down(path, number=number, begins=True)
    wait_for(until)
    write_down(path, number=number)
    return number


@task(retry=ONCE)
async def clean_up(path: str, number: int) -> None:
    """Shows what a cancellation does: `finally` runs, a shielded part goes on, a time limit of its own is none of ours."""
    write_down(path, number=number, begins=True)
    shielded = asyncio.create_task(asyncio.sleep(0.05, "shielded"))
    try:
        async with asyncio.timeout(30):
            await asyncio.shield(asyncio.sleep(30))
    finally:
        write_down(path, number=number, finally_runs=True, shielded=await shielded)


@task(retry=ONCE)
async def call_exit(in_subtask: bool) -> None:
    if in_subtask:
        await asyncio.create_task(_exit())
    raise SystemExit("no more")


async def _exit() -> None:
    raise SystemExit("not this one either")


@task(retry=ONCE)
async def who(seconds: float) -> list[object]:
    """What a job knows of itself, before and after others have run."""
    before = context.job().id
    context.progress(1, 2)
    await asyncio.sleep(seconds)
    return [before, context.job().id, await asyncio.to_thread(lambda: context.job().id)]


@task(retry=ONCE)
async def which_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


@dataclasses.dataclass
class Picky:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise KeyError("no such number")


@task(retry=ONCE)
async def take_picky(one: Picky) -> int:
    return one.number


@task(retry=ONCE)
async def half_done(done: float) -> None:
    context.progress(done, 1)  # type: ignore[arg-type]


@task(retry=ONCE)
async def wait_deeply(path: str, until: str) -> None:
    write_down(path, number=0, begins=True)
    await _outer(until)


async def _outer(until: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(gate(until))
        await _inner(until)


async def _inner(until: str) -> None:
    await gate(until)
