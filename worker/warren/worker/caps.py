"""The limits of a pool's processes: how many jobs one may run, how much memory it may have."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from warren.worker.memory import MIB, OwnMemory
from warren.worker.process import PoolProcess
from warren.worker.roster import Roster

_FASTEST = 4 * 1024 * MIB
"""Bytes a second that a process may come to have: the nearest to its limit says when the next look is due."""
_SOONEST_SECONDS, _LATEST_SECONDS = 0.02, 0.5
_WORN = 0.75
"""A process that is so far on the way from what it had at first to its limit is replaced between two jobs."""
_SPENT = 0.875
"""One that is so far is given no more jobs while its successor starts: the next one would be killed for what others took."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of each process; 0 for none.

    Attributes:
        jobs: after which a process is replaced.
        memory: bytes for itself, above which it is killed.
    """

    jobs: int = 0
    memory: int = 0

    @property
    def any(self) -> bool:
        return bool(self.jobs or self.memory)


@dataclass(frozen=True, slots=True)
class Means:
    """What follows when a process is over a limit."""

    renew: Callable[[PoolProcess], None] = lambda _: None
    """Have it replaced."""
    take_back: Callable[[PoolProcess], None] = lambda _: None
    """Have what it has not begun go elsewhere."""
    kill: Callable[[PoolProcess, str], None] = lambda _, __: None
    changed: Callable[[], None] = lambda: None
    """Other processes can be given something than before."""


class Watch:
    """Sees to it that no process of a pool goes beyond its limits.

    Args:
        caps: the limits.
        roster: the processes.
        memory: of a process by its id; for a test.
    """

    def __init__(self, caps: Caps, roster: Roster, *, memory: Callable[[int], OwnMemory] = OwnMemory) -> None:
        self._caps = caps
        self._roster = roster
        self.means = Means()
        self._memory = memory
        self._known: dict[PoolProcess, _Known] = {}
        self._worn: set[PoolProcess] = set()
        """To be looked at again when they have ended what they run."""

    def rested(self, process: PoolProcess) -> None:
        """Hear that something a process ran has ended."""
        full = 0 < self._caps.jobs <= process.ran + process.loop.ran
        worn = process in self._worn and self._is_worn(process)
        if full or worn:
            spent = worn and self._own(process) > self._known[process].spent
            if spent != process.spent:
                process.spent = spent
                self.means.changed()
            self.means.renew(process)
        self._worn.discard(process)

    def before(self, then: Callable[[PoolProcess], None]) -> Callable[[PoolProcess], None]:
        """Return what looks at a process that has ended something, and then does this; without limits, this alone."""

        def both(process: PoolProcess) -> None:
            self.rested(process)
            then(process)

        return both if self._caps.any else then

    def before_all(self, then: Callable[[], None]) -> Callable[[], None]:
        """Return what looks at all processes, as one of them has ended something, and then does this; without limits, this alone."""

        def both() -> None:
            for process in tuple(self._roster):
                self.rested(process)
            then()

        return both if self._caps.any else then

    async def memory(self) -> None:
        """Look again and again, the sooner the nearer a process is to its limit."""
        while self._caps.memory:
            spare = self.look()
            await asyncio.sleep(min(max(spare / _FASTEST, _SOONEST_SECONDS), _LATEST_SECONDS))

    def look(self) -> int:
        """Look at every process once; returns how many bytes the nearest has to its limit."""
        limit = self._caps.memory
        nearest = limit
        ready = [process for process in self._roster if process.ready and process.alive]
        self._known = {process: self._known.get(process) or self._meet(process) for process in ready}
        self._worn.intersection_update(ready)
        for process in ready:
            own = self._own(process)
            if own > limit and process.busy:
                self.means.take_back(process)
                self.means.kill(process, f"over its memory limit of {limit / MIB:.0f} MiB: it had {own / MIB:.0f}")
            elif own > self._known[process].worn:
                self._worn.add(process)
                if not process.busy:
                    self.rested(process)
            nearest = min(nearest, limit - own)
        return nearest

    def refusal(self, process: PoolProcess) -> str:
        """Return why a process that has run nothing yet cannot be used; empty when it can."""
        limit = self._caps.memory
        own = self._memory(process.pid).exactly() if limit else 0
        if own <= limit:
            return ""
        return (
            f"its modules alone take {own / MIB:.0f} MiB, and max_memory_per_process is {limit / MIB:.0f} MiB: "
            "raise that, or import less"
        )

    def _meet(self, process: PoolProcess) -> "_Known":
        memory = self._memory(process.pid)
        at_first = memory.exactly()
        way = max(0, self._caps.memory - at_first)
        return _Known(memory, at_first + int(_WORN * way), at_first + int(_SPENT * way))

    def _own(self, process: PoolProcess) -> int:
        known = self._known[process]
        return known.memory.now(known.worn, self._caps.memory)

    def _is_worn(self, process: PoolProcess) -> bool:
        return process in self._known and self._own(process) > self._known[process].worn


@dataclass(frozen=True, slots=True)
class _Known:
    """A process that was looked at; from how many bytes on it is replaced between two jobs, and given no more of them until then."""

    memory: OwnMemory
    worn: int
    spent: int
