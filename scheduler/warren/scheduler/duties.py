"""What only the leading scheduler does, and how long a piece of it lives."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from warren.amqp.seam import Connection
from warren.rebuilding import Life

_FINISH_SECONDS = 5.0


class Duty(Protocol):
    """One thing that only the leader does; the daemon has a plain list of them."""

    async def start(self, leading: Connection) -> Life:
        """Begin, as this scheduler leads now; return what is lost when this cannot go on, and closed when it shall not.

        `leading` is the connection that has the lock: what is published on it cannot arrive once another one leads. More
        connections may be opened (`Lives` makes one life of several).

        Raises:
            AmqpError, TopologyMismatch: not now; what was opened is closed.
        """
        ...


class Running:
    """The life of work in a task: lost when that ends, whatever ends it.

    Args:
        work: what is done.
        what: it is called when it is told to have ended.
        stop: asks the work to end by itself, for which it has some seconds; without one it is cancelled at once.
    """

    def __init__(self, work: Coroutine[Any, Any, None], what: str, stop: asyncio.Event | None = None) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._what = what
        self._stop = stop
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End the work."""
        if self._stop is not None:
            self._stop.set()
            await asyncio.wait([self._task], timeout=_FINISH_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not self.lost.done():
            error = None if task.cancelled() else task.exception()
            self.lost.set_result(f"{self._what} ended" + (f": {type(error).__name__}: {error}" if error else ""))
