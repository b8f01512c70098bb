"""An event loop in a daemon thread: it serves heartbeats and confirms while the application is idle for hours, or busy.

A fork copies neither the thread nor the right to use the socket: a child must make its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from warren.amqp.seam import AmqpError

T = TypeVar("T")

_STOP_SECONDS = 5.0


class Waiter:
    """A thread's way to wait for a confirm (`warren.amqp.seam.Confirm`): one lock."""

    def __init__(self) -> None:
        self.error: AmqpError | None = None
        self._told = threading.Lock()
        self._told.acquire()
        self._done = False

    def wait(self, seconds: float) -> bool:
        """Wait to be told; False when it was not in time."""
        return self._told.acquire(timeout=max(0.0, seconds))

    def done(self) -> bool:
        return self._done

    def set_result(self, _: None, /) -> None:
        self._done = True
        self._told.release()

    def set_exception(self, error: AmqpError, /) -> None:
        self.error = error
        self.set_result(None)


class Reply(Generic[T]):
    """What a thread waits for of a coroutine on an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._told = threading.Lock()
        self._told.acquire()

    def result(self) -> T:
        """Wait for its end; safe from any thread but the loop's own.

        Raises:
            CancelledError: it was cancelled, or the loop ended first.
        """
        try:
            self._told.acquire()
        except BaseException:  # KeyboardInterrupt, or what another signal handler raises
            self.cancel()
            raise
        if self._task is None:
            raise CancelledError
        try:
            return self._task.result()
        except asyncio.CancelledError as error:  # of a task, which this thread is not
            raise CancelledError from error

    def cancel(self) -> None:
        """Have it cancelled, without waiting; safe from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and it with it
            self._loop.call_soon_threadsafe(self._cancel)

    def begin(self, ended: Callable[["Reply[Any]"], None]) -> None:
        """Start it; on the loop."""

        def tell(_: object) -> None:
            ended(self)
            self._told.release()

        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(tell)

    def give_up(self) -> None:
        """Tell the waiting thread that it will never be started."""
        self._work.close()
        self._told.release()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class IoThread:
    """Runs coroutines for other threads of the process that made it."""

    def __init__(self, name: str) -> None:
        self.loop = (
            asyncio.SelectorEventLoop()
        )  # whatever the application's policy is: we share its sockets with threads
        self._replies: set[Reply[Any]] = set()
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
        """Begin to run a coroutine on the loop.

        Raises:
            CancelledError: the loop has ended.
        """
        reply = Reply(self.loop, work)
        self._replies.add(reply)
        try:
            self.loop.call_soon_threadsafe(reply.begin, self._replies.discard)
        except RuntimeError as error:
            work.close()
            raise CancelledError from error
        return reply

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
            for reply in tuple(self._replies):
                reply.give_up()
