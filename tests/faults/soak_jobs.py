"""A mix of jobs for a worker that runs for long: some fail, some kill their process, some are coroutines or return something."""

import asyncio
import os

from warren.retry import Retry
from warren.task import task

ONCE = Retry(attempts=1)
FAILS_EVERY, DIES_EVERY = 50, 1000


@task(retry=ONCE, max_crashes=1, result=False)
def mixed(number: int) -> None:
    if number % DIES_EVERY == DIES_EVERY - 1:
        os._exit(3)
    if number % FAILS_EVERY == FAILS_EVERY - 1:
        raise ValueError(f"{number} fails")


@task(retry=ONCE, result=False)
async def mixed_coroutine(number: int) -> None:
    await asyncio.sleep(0)
    if number % FAILS_EVERY == FAILS_EVERY - 1:
        raise ValueError(f"{number} fails")
