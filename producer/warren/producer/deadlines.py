"""One timer for all publishes in flight rather than one each: all have the same time, so the oldest is due first."""

import asyncio
from collections import deque


class Watched:
    """A publish in flight, cancelled when it is late."""

    __slots__ = ("ends", "future", "late")

    def __init__(self, future: "asyncio.Future[None]", ends: float) -> None:
        self.future = future
        self.ends = ends
        self.late = False

    async def confirmed(self) -> None:
        """Wait for the confirm.

        Raises:
            TimeoutError: not in time.
        """
        try:
            await self.future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.late and task is not None and not task.cancelling():
                raise TimeoutError from None
            raise


class Deadlines:
    """Watches over publishes; lives on one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: deque[Watched] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: "asyncio.Future[None]") -> Watched:
        """Have a publish cancelled that is not confirmed in time."""
        loop, waiting = future.get_loop(), self._watched
        while waiting and waiting[0].future.done():
            waiting.popleft()
        watched = Watched(future, loop.time() + self._seconds)
        waiting.append(watched)
        if self._timer is None:
            self._timer = loop.call_at(watched.ends, self._look, loop)
        return watched

    def cancel_all(self) -> None:
        """Cancel all that is not confirmed yet."""
        for watched in self._watched:
            watched.future.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._watched, loop.time()
        while waiting and (waiting[0].future.done() or waiting[0].ends <= now):
            oldest = waiting.popleft()
            oldest.late = not oldest.future.done()
            oldest.future.cancel()
        self._timer = loop.call_at(waiting[0].ends, self._look, loop) if waiting else None
