"""Turns: how several jobs can be on their way to one process and still be taken back.

Theory of operation. Very short jobs that lie ready in their process's socket save both sides a system call and a wait each.
But any job may take an hour, and what lies behind it must be able to go elsewhere. So the jobs go over one socket, and the right
to run them over another: a byte for each, its turn. The process takes a turn before each job. The parent keeps the
process's end of that socket as well, and takes turns back by reading there; the kernel gives each byte to one of the two. A byte
is the number of the job's frame, so the process passes over frames whose turns are gone. When it dies, what turns
it has not taken still lie in the socket: those jobs had not begun.
"""

import itertools
import socket
from collections import deque
from contextlib import suppress
from typing import Self

from warren.worker.frames import Run, Stop, Turn, Unpacker

_NUMBERS = 256
"""A frame's number is a byte: many more than there are jobs on their way to one process."""
_READ_BYTES = 65_536


class Turns:
    """The parent's side: grants turns, and takes back those that the process has not taken."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._numbers = itertools.cycle(range(_NUMBERS))

    @classmethod
    def shared_over(cls, wire: socket.socket) -> Self:
        """Return new ones, also for whoever holds the other end of a socket pair."""
        turns = cls()
        socket.send_fds(wire, [b"t"], [turns._theirs.fileno()])
        return turns

    def number(self) -> int:
        """Return the number of the next frame."""
        return next(self._numbers)

    def grant(self, numbers: bytes | bytearray) -> None:
        """Let the process run the jobs in these frames, in this order."""
        self._ours.send(numbers)  # far fewer than fit

    def take_back(self) -> bytes:
        """Return the numbers of those the process has not taken and now cannot take any more."""
        with suppress(BlockingIOError):
            return self._theirs.recv(_NUMBERS, socket.MSG_DONTWAIT)
        return b""

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()


class Inbox:
    """The process's side: the jobs whose turns it takes.

    Args:
        wire: where frames come, `Turn` by `Turn`.
        turns: as the parent shares them.
    """

    def __init__(self, wire: socket.socket, turns: socket.socket) -> None:
        self._wire = wire
        self._turns = turns
        self._unpacker = Unpacker(Turn)
        self._frames: deque[Turn] = deque()

    @classmethod
    def received_from(cls, wire: socket.socket) -> Self:
        """Return the one whose turns come over this wire first."""
        _, (fd,), _, _ = socket.recv_fds(wire, 1, 1)
        return cls(wire, socket.socket(fileno=fd))

    def take(self) -> Run | Stop | None:
        """Wait for the next turn and return what it is for; None when the parent is gone."""
        turn = self._turns.recv(1)
        if not turn:
            return None
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.number == turn[0]:
                    return frame.message
            data = self._wire.recv(_READ_BYTES)
            if not data:
                return None
            self._frames.extend(self._unpacker.feed(data))

    def close(self) -> None:
        """Take no more."""
        self._turns.close()
