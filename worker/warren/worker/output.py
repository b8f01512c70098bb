"""What pool processes print: passed on to the worker's own output, and the last of it kept as evidence.

Theory of operation. The standard output and error of each process are pipes of its own, so what C code and programs that a
task starts write counts as well. One thread reads all of them: the event loop never waits for whoever reads the worker's
output. The thread never waits for one reader either: it writes only what fits now. A process whose output is not taken fast
enough waits in its own write, as it would without us; nothing piles up here beyond a pipe's worth for each.

Whole lines are passed on where there are any, so that lines of several processes do not mix; the beginning of a line waits
a moment for its end. A line that a process has not ended when it goes is ended for it: else somebody's next line, a log's for
example, would go on in it. Nothing else is changed.
"""

import asyncio
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from operator import itemgetter

LAST_BYTES = 4096
_READ_BYTES = 65_536
_FITS_BYTES = select.PIPE_BUF
"""A pipe that can be written to takes so much at once, and does not mix it with what others write."""
_HELD_SECONDS = 0.1
"""So long does the beginning of a line wait for the rest."""
_LAST_WORDS_BYTES = 1 << 21
"""More than two pipes hold: what is left of a process that is gone; beyond that, something it started still writes."""
_LAST_WORDS_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_LINE_CHARACTERS = 200

Chunk = tuple[float, bytes]


class Tail:
    """The last that a process has printed, and when; filled by the relay's thread."""

    def __init__(self) -> None:
        self._of_each: tuple[deque[Chunk], ...] = deque(), deque()
        self._sizes = [0, 0]
        self._lock = threading.Lock()

    def add(self, stream: int, chunk: bytes, now: float) -> None:
        """Take what was just read of standard output, 0, or error, 1; older bytes that nobody will ask for are forgotten."""
        chunks = self._of_each[stream]
        with self._lock:
            chunks.append((now, chunk[-LAST_BYTES:]))
            self._sizes[stream] += len(chunks[-1][1])
            while self._sizes[stream] - len(chunks[0][1]) >= LAST_BYTES:
                self._sizes[stream] -= len(chunks.popleft()[1])

    def since(self, moment: float) -> bytes:
        """Return the last bytes that were read since a moment of the monotonic clock.

        Of both outputs in the order in which they were read; neither takes more than half of the room from the other.
        """
        with self._lock:
            out, error = ([chunk for chunk in chunks if chunk[0] >= moment] for chunks in self._of_each)
        room_of_out = LAST_BYTES - min(_size(error), LAST_BYTES // 2)
        out = _last(out, room_of_out)
        error = _last(error, LAST_BYTES - _size(out))
        return b"".join(data for _, data in sorted((*out, *error), key=itemgetter(0)))


def _size(chunks: list[Chunk]) -> int:
    return sum(len(data) for _, data in chunks)


def _last(chunks: list[Chunk], room: int) -> list[Chunk]:
    kept = list[Chunk]()
    for at, data in reversed(chunks):
        if room > 0:
            kept.append((at, data[-room:]))
            room -= len(data)
    return kept[::-1]


class Source:
    """One pipe that a process writes to; owned by the relay's thread.

    Args:
        fd: our end.
        stream: 0 for standard output, 1 for standard error.
        tail: keeps the last of it.
    """

    def __init__(self, fd: int, stream: int, tail: Tail) -> None:
        self.fd, self.stream, self.tail = fd, stream, tail
        self.open = True
        self.pending = bytearray()
        self._amid = False
        """Its last line is not at its end."""
        self._since = 0.0
        """When the first of what is pending came, or was left over."""

    @property
    def wants_more(self) -> bool:
        return self.open and len(self.pending) < _READ_BYTES

    def read(self) -> int:
        """Take what is there, and return how much that is; it never waits."""
        try:
            chunk = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if chunk:
            now = time.monotonic()
            self.tail.add(self.stream, chunk, now)
            self._since = self._since if self.pending else now
            self.pending += chunk
            self._amid = chunk[-1] != _NEWLINE
        else:
            self.close()
        return len(chunk)

    def ready(self, limit: int) -> int:
        """Return how many bytes should be passed on now, at most `limit`: whole lines where there are any."""
        end = self.pending.rfind(b"\n", 0, limit) + 1
        if end or not self.pending:
            return end
        late = not self.open or len(self.pending) >= limit or time.monotonic() - self._since >= _HELD_SECONDS
        return min(len(self.pending), limit) if late else 0

    def passed(self, count: int) -> None:
        """Forget what was passed on."""
        del self.pending[:count]
        self._since = time.monotonic()

    def drain(self) -> None:
        """Take all that is there."""
        left = _LAST_WORDS_BYTES
        while self.open and left > 0 and (count := self.read()):
            left -= count

    def close(self) -> None:
        """Read no more."""
        if self.open:
            self.open = False
            if self._amid:
                self.pending += b"\n"
            os.close(self.fd)


class Target:
    """One of the worker's own outputs; owned by the relay's thread."""

    def __init__(self, stream: int, fd: int) -> None:
        self.stream, self.fd = stream, fd
        self._limit = _READ_BYTES if _is_file(fd) else _FITS_BYTES
        self._amid: Source | None = None
        """Whose line is not at its end."""

    def next(self, sources: list[Source]) -> Source | None:
        """Return whose bytes come next: who is amid a line goes on with it."""
        if self._amid is not None and self._amid.pending:
            return self._amid if self._amid.ready(self._limit) else None
        mine = (source for source in sources if source.stream == self.stream)
        return next((source for source in mine if source.ready(self._limit)), None)

    def write(self, source: Source) -> None:
        """Pass on what fits; what cannot be written is dropped, as there is nobody to read it."""
        count = source.ready(self._limit)
        try:
            count = os.write(self.fd, source.pending[:count])
        except BlockingIOError:
            return
        except OSError:
            pass  # closed, or its disk is full
        self._amid = None if source.pending[count - 1] == _NEWLINE else source
        source.passed(count)


class Relay:
    """Reads what processes print in a thread of its own, passes it on and keeps the last of it.

    Args:
        out, error: the descriptors to which standard output and error are passed on.
    """

    def __init__(self, out: int, error: int) -> None:
        self._targets = (Target(0, out), Target(1, error))
        self._sources: list[Source] = []
        self._orders: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._closing = False
        self._closed = False
        """Nothing is ordered any more."""
        self._thread = threading.Thread(target=self._run, name="warren output", daemon=True)
        self._thread.start()

    def open(self) -> tuple[Tail, int, int]:
        """Return what keeps a new process's output, and its ends of two pipes; they are the caller's to close.

        Raises:
            OSError: there are no descriptors for them.
        """
        tail, theirs = Tail(), list[int]()
        try:
            for target in self._targets:
                ours, writing = os.pipe()
                os.set_blocking(ours, False)
                theirs.append(writing)
                self._order(partial(self._sources.append, Source(ours, target.stream, tail)))
        except OSError:
            for writing in theirs:  # the thread closes our ends when it finds that nobody writes
                os.close(writing)
            raise
        return tail, theirs[0], theirs[1]

    async def finish(self, tail: Tail) -> None:
        """Return when all that a process that is gone has printed was read; it may still have to be passed on."""
        if self._closed:
            return
        read: Future[None] = Future()
        self._order(partial(self._finish, tail, read))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await asyncio.wrap_future(read)

    async def close(self) -> None:
        """Pass on what was printed, as far as it is taken, and stop."""
        self._order(self._close)
        self._closed = True
        await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    def _order(self, what: Callable[[], None]) -> None:
        """Have the thread do something."""
        if self._closed:
            return
        self._orders.append(what)
        with suppress(BlockingIOError):  # it is awake
            os.write(self._wake_write, b"!")

    def _finish(self, tail: Tail, read: "Future[None]") -> None:
        for source in self._sources:
            if source.tail is tail:
                source.drain()
        if read.set_running_or_notify_cancel():
            read.set_result(None)

    def _close(self) -> None:
        self._closing = True
        for source in self._sources:
            source.drain()
            source.close()

    def _run(self) -> None:
        while self._sources or not self._closing:
            turns = [(target, source) for target in self._targets if (source := target.next(self._sources))]
            ready = self._wait(turns)
            for source in self._sources:
                if source.fd in ready and source.wants_more:
                    source.read()
            for target, source in turns:
                if target.fd in ready:
                    target.write(source)
                    self._sources.remove(source)  # the next time, others come first
                    self._sources.append(source)
            if self._wake_read in ready:
                self._obey()
            self._sources[:] = [source for source in self._sources if source.open or source.pending]
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wait(self, turns: list[tuple[Target, Source]]) -> set[int]:
        """Return the descriptors that can be read or written now."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for source in self._sources:
            if source.wants_more:
                poll.register(source.fd, select.POLLIN)
        for target, _ in turns:
            poll.register(target.fd, select.POLLOUT)
        held = any(source.pending for source in self._sources)
        return {fd for fd, _ in poll.poll(_HELD_SECONDS * 1000 if held else None)}

    def _obey(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while self._orders:
            self._orders.popleft()()


def standard_outputs() -> tuple[int, int]:
    """Return this process's standard output and error; something that takes all where one of them was closed at the start."""
    outputs = (sys.__stdout__, 1), (sys.__stderr__, 2)
    out, error = (fd if stream is not None else os.open(os.devnull, os.O_WRONLY) for stream, fd in outputs)
    return out, error


def last_line(output: str) -> str:
    """Return the last line that has something in it, for a log."""
    lines = (line.strip() for line in reversed(output.splitlines()))
    return next(filter(None, lines), "")[-_LINE_CHARACTERS:]


def _is_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False  # closed: writing will say so


_NEWLINE = ord("\n")
