"""What is known of a pool process after its death, or while it hangs: its last output, when its job began, its Python stacks.

The stacks are written by `faulthandler` in C, in the process itself: at a fatal signal, or when the worker asks for them by a
signal, which works also while C code holds the interpreter's lock. They go to a file in memory that is shared with the worker
and so outlives the process. The mark of a job's beginning is in the same file, before them; it is the process that makes it,
because only it knows when it goes from one job to the next.
"""

import asyncio
import faulthandler
import fcntl
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from warren.outcome import Crashed
from warren.worker.keeper import Exit
from warren.worker.memory_file import memory_file
from warren.worker.output import Relay, Tail
from warren.worker.stacks import is_whole, readable

STACK_SIGNAL = signal.SIGRTMIN + 7
"""Asks a process for its stacks: of the real-time signals, which hardly any program uses."""
_BEGAN = struct.Struct("=d")
_STACKS_BYTES = 1 << 18
_POLL_SECONDS = 0.005
_STILL_SECONDS = 0.1
"""What did not grow for so long is taken for whole."""
_ANSWER_SECONDS = 2.0
_FATAL = "Fatal Python error"


class BlackBox:
    """The worker's side. Only touched from the loop.

    Args:
        fd: of the shared file, ours to close.
        tail: keeps the process's output.
        relay: fills it.
    """

    def __init__(self, fd: int, tail: Tail, relay: Relay) -> None:
        self._fd = fd
        self._tail = tail
        self._relay = relay
        self._asking: asyncio.Task[str] | None = None
        self._answer = ""
        """To the last question; it is evidence when a kill followed it."""

    @classmethod
    def shared_over(cls, wire: socket.socket, relay: Relay) -> Self:
        """Return a new one, also for whoever holds the other end of a socket pair."""
        fd = memory_file("warren-black-box", _BEGAN.size)
        try:
            # Whoever writes, writes at the end, wherever that is after what was there is cut off.
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
            tail, out, error = relay.open()
        except OSError:
            os.close(fd)
            raise
        try:
            socket.send_fds(wire, [b"b"], [fd, out, error])
        finally:
            os.close(out)
            os.close(error)
        return cls(fd, tail, relay)

    async def stacks(self, pid: int, send: Callable[[int], None], seconds: float) -> str:
        """Return the Python stacks of a living process's threads; nothing when it does not answer in time.

        Args:
            pid: the process's.
            send: sends it a signal.
            seconds: to wait for the answer.
        """
        if self._fd < 0:
            return ""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask(pid, send))
        await asyncio.wait([self._asking], timeout=seconds)
        answered = self._asking.done() and not self._asking.cancelled()
        return self._asking.result() if answered else ""

    async def crash(self, exit_: Exit | None, killed_for: str, *, alone: bool) -> Crashed:
        """Return how a process has ended, with what is known of its last moments; there is nothing to be had of it after that.

        Args:
            exit_: what the kernel said, if it said anything.
            killed_for: why we killed it, having asked for its stacks.
            alone: whether the job that began last is the only one there was.
        """
        await self._relay.finish(self._tail)
        (began,) = _BEGAN.unpack(os.pread(self._fd, _BEGAN.size, 0))
        output = self._tail.since(began if alone else 0.0).decode(errors="replace")
        _, fatal, rest = self._written().rpartition(_FATAL)
        stacks = readable(fatal + rest) if fatal else self._answer if killed_for else ""
        self._close()
        if exit_ is None:
            return Crashed(None, None, 0, killed_for, output, stacks)
        return Crashed(exit_.signal, exit_.exit_code, exit_.max_rss, killed_for, output, stacks, exit_.oom)

    def _close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        os.close(self._fd)
        self._fd = -1

    async def _ask(self, pid: int, send: Callable[[int], None]) -> str:
        self._answer = ""
        if not _listens(pid):
            return ""
        os.ftruncate(self._fd, _BEGAN.size)
        send(STACK_SIGNAL)
        written, grown, until = "", time.monotonic(), time.monotonic() + _ANSWER_SECONDS
        while not is_whole(written) and (now := time.monotonic()) < until:
            await asyncio.sleep(_POLL_SECONDS)
            before, written = written, self._written()
            if written != before:
                grown = now
            elif written and now - grown > _STILL_SECONDS:
                break
        self._answer = readable(written)
        return self._answer

    def _written(self) -> str:
        return os.pread(self._fd, _STACKS_BYTES, _BEGAN.size).decode("ascii", "replace")


class Recorder:
    """The process's side.

    Args:
        fd: of the shared file.
        out, error: what standard output and error become.
    """

    def __init__(self, fd: int, out: int, error: int) -> None:
        self._fd, self._out, self._error = fd, out, error
        self._memory = mmap.mmap(fd, _BEGAN.size)

    @classmethod
    def received_from(cls, wire: socket.socket) -> Self:
        """Return the one that the parent shares."""
        _, fds, _, _ = socket.recv_fds(wire, 1, 3)
        for fd in fds:
            os.set_inheritable(fd, False)
        return cls(*fds)

    def install(self) -> None:
        """Print into the pipes and write stacks down from now on."""
        for fd, standard in ((self._out, 1), (self._error, 2)):
            os.dup2(fd, standard)
            os.close(fd)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed when the worker began
                stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        faulthandler.enable(self._fd)
        faulthandler.register(STACK_SIGNAL, self._fd, all_threads=True, chain=False)
        # What a task forks is not what it is: its stacks go to its standard error.
        os.register_at_fork(after_in_child=lambda: faulthandler.enable(2))

    def begin(self) -> None:
        """Take note that a job begins: what was printed before is not its output."""
        _BEGAN.pack_into(self._memory, 0, time.monotonic())


def _listens(pid: int) -> bool:
    """Tell whether a process handles our signal, which would end it otherwise: it has just begun, or a task changed that."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "SigCgt":
                return bool(int(value, 16) >> (STACK_SIGNAL - 1) & 1)
    return False
