"""The jobs as coroutine tasks of Warren's; apart, as a worker that has some makes an event loop in each process."""

import asyncio

from benchmarks.jobs import work

from warren.task import task


@task(result=False)
async def nap(seconds: float) -> None:
    """Wait for something that is not this machine."""
    await asyncio.sleep(seconds)
    work.count()
