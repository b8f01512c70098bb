"""How much memory a process has for itself, as Linux tells it.

What counts is what would be free if the process were gone. Its resident set has more in it: what it shares with others, above
all what they were all forked with, and the files it has mapped, which the kernel can drop. That part is slow to find out
(the kernel looks at every page), the resident set is not; so it is remembered and taken off, and asked for again when the
difference matters.
"""

import mmap
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1024 * 1024
_EXACT_FOR_SECONDS = 2.0
"""After that, what was shared may be its own by now, as it has written to it."""


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has, shared or not; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError):
        return 0


def private(pid: int) -> int:
    """Return the bytes that a process alone has written; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_Dirty"))


class OwnMemory:
    """What one process has for itself: exactly where that matters.

    Args:
        pid: of the process.
        resident, private, clock: for a test.
    """

    def __init__(
        self,
        pid: int,
        *,
        resident: Callable[[int], int] = resident,
        private: Callable[[int], int] = private,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid = pid
        self._resident, self._private, self._clock = resident, private, clock
        self._shared = 0
        self._asked = float("-inf")

    def exactly(self) -> int:
        """Return what it has, exactly."""
        found, own = self._resident(self._pid), self._private(self._pid)
        self._shared, self._asked = max(0, found - own), self._clock()
        return own

    def now(self, interesting: int, limit: int) -> int:
        """Return what it has: exactly if that is above the limit, no older than two seconds above what is interesting.

        Below that, what it shares may be counted as its own.
        """
        found = self._resident(self._pid)
        if found <= interesting:
            return found
        if found - self._shared > limit or self._clock() - self._asked > _EXACT_FOR_SECONDS:
            return self.exactly()
        return found - self._shared
