"""The one thread in which a daemon talks to its database, so that its loop never waits for a disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """Calls functions in that thread, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "warren-store")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it there; what it raises is raised here. Cancelling does not interrupt a call that has begun."""
        return await asyncio.wrap_future(self._executor.submit(function, *args, **kwargs))

    async def close(self) -> None:
        """Wait for the call that runs, drop those that wait, and end the thread."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
