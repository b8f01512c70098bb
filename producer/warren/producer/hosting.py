"""Where a blocking producer's client lives: on an I/O thread of the process that uses it, made when first needed.

A forked child forgets what it inherited and makes its own; what it inherited is kept, unused, because closing it, as
garbage collection would, disturbs the parent's connection.
"""

import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from warren.errors import WrongUse
from warren.producer.client import Client
from warren.producer.core import Outgoing
from warren.producer.io_thread import IoThread
from warren.settings import Settings

T = TypeVar("T")


class Host:
    """Keeps one client and its I/O thread for a producer, for the process it is used in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: tuple[IoThread, Client] | None = None
        self._closed = False
        self._starting = threading.Lock()
        _HOSTS.add(self)
        _watch_forks()

    @property
    def client(self) -> Client:
        """The client; what it does without a connection may be called from any thread."""
        return self._both()[1]

    def call(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine of the client's on its thread and return what it returns."""
        thread, client = self._both()
        client.from_thread.step_aside()
        return thread.call(work(client))

    def send(self, outgoing: Outgoing) -> None:
        """Publish one job, confirmed."""
        thread, client = self._both()
        client.from_thread.send(outgoing, thread.call)

    def send_many(self, outgoing: Iterable[Outgoing]) -> None:
        """Publish many jobs, pipelined and confirmed; they are composed on the way."""
        thread, client = self._both()
        client.from_thread.send_many(outgoing, thread.call)

    def close(self) -> None:
        """Close the connection and end the thread, for good; safe from any thread, its own included."""
        self._closed = True
        running, self._running = self._running, None
        if running is None:
            return
        if running[0].is_current:  # garbage collection may run anywhere
            threading.Thread(target=_end, args=running, daemon=True).start()
        else:
            _end(*running)

    def forget(self) -> None:
        """Drop the parent's client without touching it, in a process just forked."""
        _INHERITED.append((self._running, self._starting))
        self._running = None
        self._starting = threading.Lock()

    def _both(self) -> tuple[IoThread, Client]:
        running = self._running
        if running is not None:
            return running
        if self._closed:
            raise WrongUse("this producer is closed")
        with self._starting:
            if self._running is None:
                thread = IoThread("warren-producer")
                self._running = thread, thread.call(_make_client(self._settings))
            return self._running


async def _make_client(settings: Settings) -> Client:
    return Client(settings, engine="pika")


def _end(thread: IoThread, client: Client) -> None:
    client.from_thread.step_aside()
    thread.call(client.close())
    thread.stop()


_HOSTS: weakref.WeakSet[Host] = weakref.WeakSet()
_INHERITED: list[object] = []


@functools.cache
def _watch_forks() -> None:
    """Have hosts forgotten by forked children, once a process has one."""
    os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    for host in list(_HOSTS):
        host.forget()
