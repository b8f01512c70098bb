"""A gate that jobs pass: whoever measures can hold a worker, with all that it has loaded, while its queue is filled.

A job looks at one byte of memory that it shares with the measuring program (0.1 µs); where that says "closed" it waits for a
lock on the file until the gate is opened.
"""

import fcntl
import mmap
import os
from pathlib import Path

_OPEN, _CLOSED = 0, 1


class Gate:
    """Open when it is made; each process makes its own object of it after a fork."""

    def __init__(self, folder: str) -> None:
        self._file = os.open(Path(folder) / "gate", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, 1)
        self._state = mmap.mmap(self._file, 1)

    def close(self) -> None:
        """Let nobody pass from now on; who has passed goes on."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._state[0] = _CLOSED

    def open(self) -> None:
        """Let all pass."""
        self._state[0] = _OPEN
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def wait(self) -> None:
        """Return when it is open."""
        if self._state[0] == _CLOSED:
            fcntl.flock(self._file, fcntl.LOCK_SH)
            fcntl.flock(self._file, fcntl.LOCK_UN)
