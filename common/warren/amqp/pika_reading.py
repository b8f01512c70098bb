"""Reading a socket in whichever thread waits for what comes: it saves waking the loop's thread, and being woken by it.

The loop watches, instead of the socket, an epoll that holds the socket. A thread that begins to wait makes that epoll blind,
which disturbs nobody, and reads by itself. It takes answers to publishes, and nothing else: at anything else it hands over
what it has read and stops, and the loop goes on from there. So there is one reader at a time, and all is read in order.

A signal handler may raise in the thread that reads. Left with bytes that it received and did not hand on, the stream has a
hole: nothing more is read, and the connection ends. A handler may also use the producer, and then must not wait for what its
own thread would read: it ends the turn that it interrupted, unless that holds bytes, which ends the connection, too. Handlers
run where a call returns, so what is written here without a call in between is one step to them.
"""

import asyncio
import os
import select
import socket
import threading
import time
import weakref
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


class _Turn:
    """One thread's reading."""

    __slots__ = ("beat", "ended", "holds", "thread")

    def __init__(self, now: float) -> None:
        self.thread = threading.get_ident()
        self.beat = now
        """When it last looked for something."""
        self.holds = False
        """Bytes that are not handed on yet."""
        self.ended = False


class _Watch:
    """A socket inside an epoll, which can be made blind.

    The socket is a copy with a number of its own: that of the transport may be another file's while a thread is about to read.
    """

    def __init__(self, number: int) -> None:
        self.turn: _Turn | None = None
        """Of the thread that reads, when it is none of the loop's."""
        self.socket = socket.socket(fileno=os.dup(number))
        self.file = self.socket.fileno()
        try:
            self.epoll = select.epoll()
            self.epoll.register(self.file, select.EPOLLIN)
        except OSError:
            self.socket.close()
            raise
        _WATCHES.add(self)

    def close(self) -> None:
        self.epoll.close()
        self.socket.close()


_WATCHES: weakref.WeakSet[_Watch] = weakref.WeakSet()


def _forked() -> None:
    """End the turn that a signal handler has forked in: the socket and the epoll are the parent's."""
    for watch in list(_WATCHES):
        if watch.turn is not None:
            watch.turn.ended = True


os.register_at_fork(after_in_child=_forked)


class SharedReading:
    """Reads a socket, on the loop and, after the first one has asked for it, in threads that wait."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, taps: Taps, stream: Stream
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._taps = taps
        self._stream = stream
        self._asked = False
        self._closed = False
        self._watch: _Watch | None = None
        self._lock = threading.Lock()
        """Held by whoever reads."""
        self._hole = False
        """Whether something was read and is lost, or will be: nobody may read on."""
        self._handed: list[bytes] = []
        """Read by threads, for the loop."""
        self._error: OSError | None = None
        self._refused_since = 0.0
        self._seen = 0.0, 0.0
        """The last beat of a turn that another thread saw, and when it first did."""
        self._patience = _HELD_SECONDS
        """With a thread that does not end its turn."""

    def read_for(self, confirm: Confirm, until: float) -> None:
        """Read in this thread until `confirm` is told, or the time is over, or it is the loop's turn."""
        if self._watch is None:
            if not self._asked:
                self._asked = True
                self._tell_loop(self._begin)
            return
        self.leave()
        turn = _Turn(time.monotonic())
        if not self._lock.acquire(blocking=False):
            self._suspect(turn.beat)
            return
        try:
            if (watch := self._watch) is not None:
                watch.turn = turn
                self._read_until(watch, turn, confirm, until)
        finally:
            self._finish(turn)

    def leave(self) -> None:
        """End the turn of this thread, if it has one: a signal handler in it will wait for what others must read."""
        turn = None if self._watch is None else self._watch.turn
        if turn is None or turn.ended or turn.thread != threading.get_ident():
            return
        if turn.holds:
            self._tear()
        else:
            self._finish(turn)

    def close(self) -> None:
        """Have every thread stop reading; on the loop, before the socket is closed."""
        self._asked = True
        if (watch := self._watch) is None:
            return
        self._loop.remove_reader(watch.epoll.fileno())
        with suppress(OSError):
            watch.socket.shutdown(socket.SHUT_RDWR)  # which ends the waiting of a thread
        self._closed = True
        if self._lock.acquire(timeout=self._patience):
            try:
                if not self._hole:
                    self._take_handed()
            finally:
                self._release()

    def _begin(self) -> None:
        """Take the reading over from the transport."""
        if self._transport.is_closing():
            return
        with suppress(OSError):  # too many files are open: the transport goes on reading
            watch = _Watch(self._transport.get_extra_info("socket").fileno())
            self._loop.add_reader(watch.epoll.fileno(), self._read_on_loop)
            self._transport.pause_reading()
            self._watch = watch

    def _read_until(self, watch: _Watch, turn: _Turn, confirm: Confirm, until: float) -> None:
        poll = select.poll()
        poll.register(watch.file, select.POLLIN)
        if turn.ended:
            return
        watch.epoll.modify(watch.file, 0)
        self._refused_since = 0.0
        while not (turn.ended or self._hole or self._handed or confirm.done()):
            turn.beat = time.monotonic()
            left = until - turn.beat
            if left <= 0 or (poll.poll(min(left, _SLICE_SECONDS) * 1000) and not self._read_once(watch, turn)):
                break

    def _read_once(self, watch: _Watch, turn: _Turn) -> bool:
        """Take what is there; False when nothing more comes."""
        if turn.ended:
            return False
        turn.holds = True
        try:
            data = os.read(watch.file, _FEW)
        except BlockingIOError:
            data, rest, more = b"", b"", True
        except OSError as error:
            self._error = error  # said once only
            data, rest, more = b"", b"", False
        else:
            rest, more = self._taps.take_answers(data), bool(data)
        if rest:
            self._handed.append(rest)
        turn.holds = False
        self._refused_since = 0.0
        return more

    def _finish(self, turn: _Turn) -> None:
        """End a turn; a signal handler in the midst of this does all of it."""
        self._refused_since = 0.0
        if turn.holds:
            self._hole = True
        watch = self._watch
        if turn.ended:
            return
        if watch is not None:
            watch.epoll.modify(watch.file, select.EPOLLIN)
            if turn.ended:
                return
            watch.turn = None
        turn.ended = True
        self._lock.release()
        if self._closed and self._lock.acquire(blocking=False):
            self._release()
        if self._hole:
            self._tear()
        elif self._handed:
            self._tell_loop(self._read_on_loop)

    def _release(self) -> None:
        """End the loop's reading, for good when all is closed."""
        if self._closed and self._watch is not None:
            self._watch.close()
            self._watch = None
        self._lock.release()

    def _suspect(self, now: float) -> None:
        """Look whether the thread that reads goes on; a signal handler in it may wait for this one."""
        turn = None if self._watch is None else self._watch.turn
        beat, since = self._seen
        if turn is None or turn.beat != beat:
            self._seen = (0.0 if turn is None else turn.beat), now
        elif now - since > _HELD_SECONDS:
            self._tear()

    def _tear(self) -> None:
        """Have the connection ended, at once."""
        self._hole, self._patience = True, 0.0
        self._tell_loop(self._stream.torn)

    def _tell_loop(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(call)

    def _read_on_loop(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._refused()
            return
        self._refused_since = 0.0
        try:
            if self._hole:
                self._stream.torn()
            elif not self._closed and (watch := self._watch) is not None:
                self._take_handed()
                self._take_more(watch)
        except BaseException:
            self._hole = True
            self._stream.torn()
            raise
        finally:
            self._release()

    def _take_handed(self) -> None:
        while self._handed:
            self._taps.take(self._handed.pop(0))

    def _take_more(self, watch: _Watch) -> None:
        error = self._error
        try:
            data = os.read(watch.file, _MANY)
        except BlockingIOError:
            return
        except OSError as now:
            data, error = b"", now
        if data:
            self._taps.take(data)
        else:
            self._loop.remove_reader(watch.epoll.fileno())
            self._stream.broken(error)

    def _refused(self) -> None:
        """A thread has just begun to read, or was interrupted as it did so, and its turn never ends."""
        now = self._loop.time()
        self._refused_since = self._refused_since or now
        if now - self._refused_since > _HELD_SECONDS:
            self._tear()
