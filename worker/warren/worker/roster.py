"""Which processes a pool has: one in place for each slot, successors on their way, and those that leave when they have finished.

A slot is a place to run jobs. A process that is replaced while it works gives its place to its successor in the moment in
which that is ready, and then only finishes what it runs: so no place is ever without a process, and none is counted twice.
"""

from collections.abc import Callable, Iterator

from warren.worker.process import PoolProcess

_AT_A_TIME = 4
"""One successor at a time for so many slots: each of them needs memory and a processor beside those that work."""


class Roster:
    """The processes of a pool by what they are there for.

    Args:
        in_place: by slot, from 0 on without a gap; one that has died stays until another starts in its place.
    """

    def __init__(self, in_place: dict[int, PoolProcess]) -> None:
        self.in_place = in_place
        self.coming: dict[int, PoolProcess] = {}
        """Successors of those in place, by slot; not ready yet."""
        self.leaving: set[PoolProcess] = set()

    def __iter__(self) -> Iterator[PoolProcess]:
        return iter([*self.in_place.values(), *self.coming.values(), *self.leaving])

    def has(self, slot: int) -> bool:
        """Tell whether a living process is in this place, ready or not."""
        return slot in self.in_place and self.in_place[slot].alive

    def add(self, process: PoolProcess) -> None:
        """Take in a process that starts: as a successor, if its slot has one that lives."""
        (self.coming if self.has(process.slot) else self.in_place)[process.slot] = process

    def ready(self, process: PoolProcess) -> PoolProcess | None:
        """Give a process that is ready the place it came for; returns whom it replaces."""
        if self.coming.get(process.slot) is not process:
            return None
        old = self.in_place[process.slot]
        self.in_place[process.slot] = self.coming.pop(process.slot)
        return old

    @property
    def finishing(self) -> int:
        """How many have been replaced and still finish what they run; without those whose slot was given up."""
        return sum(process.slot in self.in_place for process in self.leaving)

    def vacate(self, slot: int) -> list[PoolProcess]:
        """Give up a slot; returns the living processes that had it or came for it."""
        found = (self.in_place.pop(slot, None), self.coming.pop(slot, None))
        return [process for process in found if process is not None and process.alive]

    def ended(self, process: PoolProcess) -> bool:
        """Take note that a process has ended; whether its slot needs another now."""
        slot = process.slot
        self.leaving.discard(process)
        if self.coming.get(slot) is process:
            del self.coming[slot]
        if self.in_place.get(slot) is not process:
            return False
        if slot in self.coming:
            self.in_place[slot] = self.coming.pop(slot)
            return False
        return True


class Renewal:
    """Has processes replaced, a few at a time.

    Args:
        roster: of the pool.
        start: starts a process for a slot, a successor if it has one that lives.
    """

    def __init__(self, roster: Roster, start: Callable[[int], None]) -> None:
        self._roster = roster
        self._start = start
        self._old: dict[PoolProcess, None] = {}
        """To be replaced, in the order in which it was asked for."""
        self._held_up = False

    def ask(self, process: PoolProcess) -> None:
        """Have this process replaced, if it is still in its place."""
        self._old[process] = None
        self.go_on()

    def hold_up(self) -> None:
        """Start no successors until something is filled: one could not be started, and whoever asks would have it tried at once."""
        self._held_up = True

    def fill(self, slot: int | None) -> None:
        """Start a process for a slot whose own has died, unless that was done meanwhile; or the next successors."""
        self._held_up = False
        if slot is not None and not self._roster.has(slot):
            self._start(slot)
        self.go_on()

    def go_on(self) -> None:
        """Start the next successors, as many as may start at a time, and as long as no more have left than are in place.

        One that leaves may have a job for hours; were its successor replaced meanwhile, and the next, they would pile up. But
        one that is given nothing more and runs nothing leaves at once.
        """
        roster = self._roster
        self._old = {old: None for old in self._old if roster.in_place.get(old.slot) is old and old.alive}
        for old in () if self._held_up else self._old:
            coming, size = len(roster.coming), len(roster.in_place)
            if coming >= max(1, size // _AT_A_TIME):
                return
            stays = old.busy or not old.spent
            if old.slot not in roster.coming and not (stays and coming + roster.finishing >= size):
                self._start(old.slot)
