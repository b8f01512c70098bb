"""Which process's event loop gets the next coroutine job: the one that has the fewest, as long as it has a place."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from warren.worker.assignment import Assignment
from warren.worker.process import PoolProcess


class Places:
    """Hands out coroutine jobs, first come first served.

    Args:
        processes: by slot; one that was replaced is another there.
        each: how many a process may have at a time.
        leaving: processes that are given no more, and still run what they have.
    """

    def __init__(self, processes: Mapping[int, PoolProcess], each: int, leaving: Iterable[PoolProcess] = ()) -> None:
        self.each = each
        self.on_change: Callable[[int], None] = lambda _: None
        """Told how many are running in all."""
        self._processes = processes
        self._leaving = leaving
        self._waiting: deque[Assignment] = deque()

    @property
    def running(self) -> int:
        """How many run now."""
        return sum(len(process.loop.running) for process in (*self._processes.values(), *self._leaving))

    def put(self, assignment: Assignment) -> None:
        """Take the next job."""
        self._waiting.append(assignment)
        self.hand_out()

    def hand_out(self) -> None:
        """Have what waits begin where there is a place."""
        while self._waiting:
            if self._waiting[0].withdrawn:
                self._waiting.popleft()
                continue
            free = [one for one in self._processes.values() if one.usable and len(one.loop.running) < self.each]
            if not free:
                break
            first = self._waiting.popleft()
            first.process = min(free, key=lambda process: len(process.loop.running))
            first.process.loop.begin(first)
        self.on_change(self.running)
