"""Reading a socket in whichever thread waits for what comes: it saves waking the loop's thread, and being woken by it.

The loop watches, instead of the socket, an epoll that holds the socket. A thread that begins to wait makes that epoll blind,
which disturbs nobody, and reads by itself. It takes answers to publishes, and nothing else: at anything else it hands over
what it has read and stops, and the loop goes on from there. So there is one reader at a time, and all is read in order.

A signal handler may raise in the thread that reads. Left with bytes that it received and did not hand on, the stream has a hole:
so the connection ends. A handler may enqueue as well: then it reads in the place of what it interrupted, unless that holds bytes,
which ends the connection, too.
"""

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from warren.amqp.pika_taps import Taps
from warren.amqp.seam import Confirm

POSSIBLE = hasattr(select, "epoll")
"""Linux."""
_HELD_SECONDS = 1.0
_SLICE_SECONDS = 0.05
"""Python goes on polling after a signal handler that has read what was polled for; nobody else could end that."""
_FEW, _MANY = 1 << 14, 1 << 16
"""Bytes."""


class Stream(Protocol):
    """Who is told of what went wrong, on the loop."""

    def broken(self, error: OSError | None) -> None:
        """Hear that nothing more comes."""
        ...

    def torn(self) -> object:
        """Hear that something was read and is lost."""
        ...


class SharedReading:
    """Reads a socket, on the loop and, after the first one has asked for it, in threads that wait."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, taps: Taps, stream: Stream
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._taps = taps
        self._stream = stream
        self._process = os.getpid()
        self._asked = False
        self._closed = False
        self._watch: select.epoll | None = None
        self._file = -1
        self._turn = threading.Lock()
        """Held by whoever reads."""
        self._thread = 0
        """The thread that reads, of those that wait."""
        self._holds_bytes = False
        self._handed: list[bytes] = []
        """Read by threads, for the loop."""
        self._error: OSError | None = None
        self._refused_since = 0.0
        self._patience = _HELD_SECONDS
        """With a thread that does not end its turn."""

    def read_for(self, confirm: Confirm, until: float) -> None:
        """Read in this thread until `confirm` is told, or the time is over, or it is the loop's turn."""
        if self._watch is None:
            self._ask()
            return
        me = threading.get_ident()
        inside = self._thread == me  # and this is a signal handler of it
        if inside and self._holds_bytes:
            self._patience = 0.0
            self._tell_loop(self._stream.torn)
            return
        if not inside and not self._turn.acquire(blocking=False):
            return
        try:
            self._thread = me
            self._read_until(confirm, until)
        finally:
            if not inside:
                self._end_turn()

    def close(self) -> None:
        """Have every thread stop reading; on the loop, before the socket is closed."""
        self._asked = True
        if (watch := self._watch) is None:
            return
        self._loop.remove_reader(watch.fileno())
        with suppress(OSError):
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)  # which ends the waiting of a thread
        self._closed = True
        if self._turn.acquire(timeout=self._patience):
            self._take_handed()
            self._end_turn()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._tell_loop(self._begin)

    def _begin(self) -> None:
        """Take the reading over from the transport."""
        if self._transport.is_closing():
            return
        self._transport.pause_reading()
        # A number of our own: that of the transport may be another file's while a thread is about to read.
        self._file = os.dup(self._transport.get_extra_info("socket").fileno())
        self._watch = select.epoll()
        self._watch.register(self._file, select.EPOLLIN)
        self._loop.add_reader(self._watch.fileno(), self._read_on_loop)

    def _read_until(self, confirm: Confirm, until: float) -> None:
        if (watch := self._watch) is None:
            return
        try:
            watch.modify(self._file, 0)
            while not (confirm.done() or self._handed) and self._read_once(until):
                pass
        finally:
            watch.modify(self._file, select.EPOLLIN)

    def _read_once(self, until: float) -> bool:
        """Wait for something and take it; False when that is not for this thread."""
        left = until - time.monotonic()
        poll = select.poll()  # a new one: that of the thread a signal handler runs in may be in use
        poll.register(self._file, select.POLLIN)
        if left <= 0 or not poll.poll(min(left, _SLICE_SECONDS) * 1000):
            return left > 0
        if os.getpid() != self._process:  # forked by a signal handler
            return False
        self._holds_bytes = True
        try:
            data = os.read(self._file, _FEW)
        except BlockingIOError:  # a signal handler was quicker
            data, rest, more = b"", b"", True
        except OSError as error:
            self._error = error  # said once only
            data, rest, more = b"", b"", False
        else:
            rest, more = self._taps.take_answers(data), bool(data)
        if rest:
            self._handed.append(rest)
        self._holds_bytes = False
        return more

    def _end_turn(self) -> None:
        torn, handed = self._holds_bytes, self._handed
        if self._closed:
            self._close_files()
        self._thread = 0
        self._refused_since = 0.0
        self._turn.release()
        if torn:
            self._tell_loop(self._stream.torn)
        elif handed:
            self._tell_loop(self._read_on_loop)

    def _close_files(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
            os.close(self._file)

    def _tell_loop(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(call)

    def _read_on_loop(self) -> None:
        if not self._turn.acquire(blocking=False):
            self._refused()
            return
        self._refused_since = 0.0
        try:
            if not self._closed:
                self._take_handed()
                self._take_more()
        except BaseException:
            self._stream.torn()
            raise
        finally:
            self._turn.release()

    def _take_handed(self) -> None:
        while self._handed:
            self._taps.take(self._handed.pop(0))

    def _take_more(self) -> None:
        try:
            data = os.read(self._file, _MANY)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._taps.take(data)
        else:
            self._end(None)

    def _end(self, error: OSError | None) -> None:
        assert self._watch is not None
        self._loop.remove_reader(self._watch.fileno())
        self._stream.broken(error or self._error)

    def _refused(self) -> None:
        """A thread has just begun to read, or was interrupted as it did so, and its turn never ends."""
        now = self._loop.time()
        self._refused_since = self._refused_since or now
        if now - self._refused_since > _HELD_SECONDS:
            self._stream.torn()
