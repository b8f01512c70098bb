"""Which process gets what waits: the first that is free, or one that will soon come to it; and what must not wait there goes on."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from operator import attrgetter

from warren.worker.assignment import Assignment
from warren.worker.process import PoolProcess

_BRISK_SECONDS = 0.02
"""Nothing is given to a process that has been at its job for longer."""
_EVEN_SECONDS = 0.002
"""So long may one process be free while others hold more than they run."""


class Dispatch:
    """Hands out assignments, first come first served.

    Args:
        processes: by slot; one that was replaced is another there.
        depth: returns how many assignments a process may hold now, the running one among them.
    """

    def __init__(self, processes: Mapping[int, PoolProcess], depth: Callable[[], int]) -> None:
        self._processes = processes
        self._depth = depth
        self._waiting: deque[Assignment] = deque()
        self._free: deque[PoolProcess] = deque()
        self._slot = 0
        """Of the process that was asked last whether it takes one more."""
        self._evening: asyncio.TimerHandle | None = None
        self._places = itertools.count()

    def put(self, assignment: Assignment) -> None:
        """Take the next assignment."""
        assignment.place = next(self._places)
        self._waiting.append(assignment)
        self._hand_out()

    def rested(self, process: PoolProcess) -> None:
        """Hear that a process is new, or that something it held has ended."""
        if not process.held and process.usable:
            self._free.append(process)
            if len(self._free) > len(self._processes):
                self._forget_gone()
        self._hand_out()
        if self._free and self._evening is None and self._crowded():
            self._evening = asyncio.get_running_loop().call_later(_EVEN_SECONDS, self._even_out)

    def returned(self, assignments: list[Assignment]) -> None:
        """Take assignments that a process held and has not begun."""
        if assignments:
            self._waiting = deque(sorted((*assignments, *self._waiting), key=attrgetter("place")))
            asyncio.get_running_loop().call_soon(self._hand_out)

    def take_back(self) -> None:
        """Have all that was not begun wait here: until the loop goes on, it can be withdrawn."""
        for process in self._crowded():
            self.take_back_from(process)

    def take_back_from(self, process: PoolProcess) -> None:
        """Have what one process has not begun wait here."""
        self.returned(process.take_back())
        if not process.held:
            self._free.append(process)

    def _hand_out(self) -> None:
        """Give what waits to the processes that can take it now."""
        depth = self._depth()
        while self._waiting:
            first = self._waiting[0]
            process = None
            if not first.withdrawn:
                process = self._next_free() or (None if first.alone else self._next_brisk(depth))
                if process is None:
                    return
            self._waiting.popleft()
            if process is not None:
                process.give(first, at_once=depth == 1)

    def _next_free(self) -> PoolProcess | None:
        while self._free:
            process = self._free.pop()  # the one that was busy last: the others may turn out not to be needed
            if process.usable and not process.held:
                return process
        return None

    def _forget_gone(self) -> None:
        """Keep only those that are free now, each once, in their order: some were replaced before anything was given to them."""
        free = (process for process in reversed(self._free) if process.usable and not process.held)
        self._free = deque(reversed(dict.fromkeys(free)))

    def _next_brisk(self, depth: int) -> PoolProcess | None:
        """Return a process that will soon come to one more."""
        if depth > 1:
            begun, size = time.monotonic() - _BRISK_SECONDS, len(self._processes)
            for _ in range(size):
                self._slot = (self._slot + 1) % size
                process = self._processes[self._slot]
                if len(process.held) < depth and process.since > begun and process.usable:
                    return process
        return None

    def _even_out(self) -> None:
        """Let free processes have what still waits behind others."""
        self._evening = None
        if self._free:
            self.take_back()

    def _crowded(self) -> list[PoolProcess]:
        return [process for process in self._processes.values() if len(process.held) > 1]
