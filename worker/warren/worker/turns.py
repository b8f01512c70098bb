"""Turns: how several jobs can be on their way to one process and still be taken back.

Theory of operation. Very short jobs that lie ready in their process's socket save both sides a system call and a wait each.
But any job may take an hour, and what lies behind it must be able to go elsewhere. So the jobs go over one socket, and the right
to run them over another: a number for each, its turn. The process takes a turn before each job. The parent keeps the
process's end of that socket as well, and takes turns back by reading there; the kernel gives each number to one of the two. It
is the number of the job's frame, so the process passes over frames whose turns are gone. When it dies, what turns
it has not taken still lie in the socket: those jobs had not begun.

Numbers never come again while a frame may lie unread, however often jobs are given and taken back: there are 2**32 of them.
"""

import itertools
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Self

import msgspec

from warren.worker.frames import Cutter, Ping, Run, Stop, ToProcess, frame

_NUMBER = struct.Struct("!I")
_NUMBERS = 1 << 32
_READ_BYTES = 65_536


class Turns:
    """The parent's side: grants turns, and takes back those that the process has not taken."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._numbers = itertools.count()

    @classmethod
    def shared_over(cls, wire: socket.socket) -> Self:
        """Return new ones, also for whoever holds the other end of a socket pair."""
        turns = cls()
        socket.send_fds(wire, [b"t"], [turns._theirs.fileno()])
        return turns

    def numbered(self, encoded: bytes) -> tuple[int, bytes]:
        """Return the next number, and the frame of that number with something encoded in it."""
        number = next(self._numbers) % _NUMBERS
        return number, frame(_NUMBER.pack(number) + encoded)

    def grant(self, numbers: list[int]) -> None:
        """Let the process run the jobs in these frames, in this order."""
        self._ours.send(b"".join(map(_NUMBER.pack, numbers)))  # far fewer than fit

    def take_back(self) -> set[int]:
        """Return the numbers of those the process has not taken and now cannot take any more."""
        back: set[int] = set()
        with suppress(BlockingIOError):
            while data := self._theirs.recv(_READ_BYTES, socket.MSG_DONTWAIT):
                back.update(number for (number,) in _NUMBER.iter_unpack(data))
        return back

    def first_untaken(self) -> int | None:
        """Return the number of the first one that the process has not taken; None when it has taken all."""
        with suppress(BlockingIOError):
            data = self._theirs.recv(_NUMBER.size, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            number: int = _NUMBER.unpack(data)[0]
            return number
        return None

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()


class Inbox:
    """The process's side: the jobs whose turns it takes.

    Args:
        wire: where the frames come.
        turns: as the parent shares them.
    """

    def __init__(self, wire: socket.socket, turns: socket.socket) -> None:
        self._wire = wire
        self._turns = turns
        self._cutter = Cutter()
        self._decode = msgspec.msgpack.Decoder(ToProcess).decode
        self._frames: deque[memoryview] = deque()
        self.turn = -1
        """Of what was taken last."""

    @classmethod
    def received_from(cls, wire: socket.socket) -> Self:
        """Return the one whose turns come over this wire first."""
        _, (fd,), _, _ = socket.recv_fds(wire, 1, 1)
        return cls(wire, socket.socket(fileno=fd))

    def take(self) -> Run | Stop | None:
        """Wait for the next turn and return what it is for; None when the parent is gone."""
        while turn := self._turns.recv(_NUMBER.size):
            (self.turn,) = _NUMBER.unpack(turn)
            message = self._frame_of(turn)
            if not isinstance(message, Ping):
                return message
        return None

    def _frame_of(self, turn: bytes) -> Run | Stop | Ping | None:
        while True:
            while self._frames:
                body = self._frames.popleft()
                if body[: _NUMBER.size] == turn:
                    message: Run | Stop | Ping = self._decode(body[_NUMBER.size :])
                    return message
            data = self._wire.recv(_READ_BYTES)
            if not data:
                return None
            self._frames.extend(self._cutter.feed(data))

    def close(self) -> None:
        """Take no more."""
        self._turns.close()
