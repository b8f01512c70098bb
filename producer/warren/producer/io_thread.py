"""An event loop in a daemon thread: it serves heartbeats and confirms while the application is idle for hours, or busy.

A fork copies neither the thread nor the right to use the socket: a child must make its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_STOP_SECONDS = 5.0


class Reply(Generic[T]):
    """What one thread asks another's event loop for; one lock, as a `concurrent.futures.Future` costs several times that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told = threading.Lock()
        self._told.acquire()
        self._task: asyncio.Task[T] | None = None
        self._value: T | None = None

    def result(self) -> T:
        """Wait for the answer; safe from any thread but the loop's own.

        Raises:
            CancelledError: it was cancelled, or the loop ended first.
        """
        try:
            self._told.acquire()
        except BaseException:  # KeyboardInterrupt, or what another signal handler raises
            self.cancel()
            raise
        if self._task is None:
            return self._value  # type: ignore[return-value]  # it was given
        try:
            return self._task.result()
        except asyncio.CancelledError as error:  # of a task, which this thread is not
            raise CancelledError from error

    def cancel(self) -> None:
        """Have what is being done for it cancelled, without waiting; safe from any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    def give(self, value: T) -> None:
        """Answer; on the loop only."""
        self._value = value
        self._told.release()

    def follow(self, work: Coroutine[Any, Any, T]) -> None:
        """Answer with what becomes of a coroutine; on the loop only."""
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(lambda _: self._told.release())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class IoThread:
    """Runs coroutines for other threads of the process that made it."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller is this very thread."""
        return threading.current_thread() is self._thread

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returns; safe from any thread but the loop's own."""
        return self.start(work).result()

    def start(self, work: Coroutine[Any, Any, T]) -> Reply[T]:
        """Begin to run a coroutine on the loop."""
        reply = Reply[T](self.loop)
        self.loop.call_soon_threadsafe(reply.follow, work)
        return reply

    def ask(self, answer: Callable[[Reply[T]], None]) -> T:
        """Call a function on the loop, which must see to it that the reply is given; return that."""
        reply = Reply[T](self.loop)
        self.loop.call_soon_threadsafe(answer, reply)
        return reply.result()

    def stop(self) -> None:
        """End the loop and the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                # Those that wait for them in other threads are told, also when there is something to close first.
                self.loop.run_until_complete(asyncio.wait(left, timeout=_STOP_SECONDS))
            self.loop.close()
