"""What a pool process has done and not told yet, in memory that it shares with its parent: it outlives the process.

A frame for each of a unit's quick items would cost more than the items do, so the process tells of many at once. When it dies
before it has, the parent finds here what was done: the crash is charged to the item after that, and no other runs again.
"""

import mmap
import os
import socket
import struct
from typing import Self

from warren.outcome import Done
from warren.worker.frames import Ended, Part
from warren.worker.memory_file import memory_file

_BYTES = 65_536
_HEAD = struct.Struct("=QIII")
"""The unit's number; how many of its items were told; how many are here; where their text ends."""
_MARK = struct.Struct("=Id")
"""The number of the coroutine job whose step runs now, 0 for none; when the step began, by the monotonic clock."""
_WANTED = struct.Struct("=Q")
"""Which job of the main thread is to be interrupted: one more than the number of its turn."""
_START = _HEAD.size + _MARK.size + _WANTED.size


class Journal:
    """Done items of one unit, in their order, as members of a JSON object, each with a comma after it."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, _BYTES)
        self._unit = self._told = 0
        self.count = 0
        self._end = _START

    @classmethod
    def shared_over(cls, wire: socket.socket) -> Self:
        """Return a new one, also for whoever holds the other end of a socket pair; for the parent."""
        fd = memory_file("warren-journal", _BYTES)
        try:
            socket.send_fds(wire, [b"j"], [fd])
            return cls(fd)
        finally:
            os.close(fd)

    @classmethod
    def received_from(cls, wire: socket.socket) -> Self:
        """Return the one that the parent shares; for the process."""
        _, (fd,), _, _ = socket.recv_fds(wire, 1, 1)
        try:
            return cls(fd)
        finally:
            os.close(fd)

    def begin(self, unit: int, told: int = 0) -> None:
        """Start anew, with nothing in it, after so many items of a unit were told."""
        self._unit, self._told, self.count, self._end = unit, told, 0, _START
        _HEAD.pack_into(self._memory, 0, unit, told, 0, _START)

    def add(self, member: bytes) -> bool:
        """Write down the next item; False when there is no room."""
        end = self._end + len(member)
        if end > _BYTES:
            return False
        self._memory[self._end : end] = member
        self._end = end
        self.count += 1
        # Last: until then the item counts as not done.
        _HEAD.pack_into(self._memory, 0, self._unit, self._told, self.count, end)
        return True

    def untold(self, seconds: float = 0.0, *, last: bool = False) -> Ended:
        """Return what is in it as what the parent would have been told; asked by the process, or after its death."""
        unit, told, count, end = _HEAD.unpack_from(self._memory)
        return Ended(Done(self._memory[_START:end]), seconds, Part(unit, told, count), last)

    def mark(self, number: int, since: float) -> None:
        """Write down which coroutine job runs now: when the process dies, or stands still, that one is asked."""
        _MARK.pack_into(self._memory, _HEAD.size, number, since)

    @property
    def marked(self) -> tuple[int, float]:
        """The number of the coroutine job that ran last, 0 if none was running, and since when."""
        number, since = _MARK.unpack_from(self._memory, _HEAD.size)
        return number, since

    def interrupt(self, turn: int) -> None:
        """Write down whose job a signal that is about to be sent means; by the parent."""
        _WANTED.pack_into(self._memory, _HEAD.size + _MARK.size, turn + 1)

    def is_interrupted(self, turn: int) -> bool:
        """Tell whether a signal that came means the job of this turn; it may have come too late, and mean one that is over."""
        (wanted,) = _WANTED.unpack_from(self._memory, _HEAD.size + _MARK.size)
        return bool(wanted == turn + 1)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
