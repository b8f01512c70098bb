"""What a worker does when it is steered from outside; `warren.steering` has what it can be told."""

from dataclasses import dataclass

from warren import clock
from warren.clock import Clock
from warren.status import bounded
from warren.steering import (
    MOST_PROCESSES,
    STACKS_CHARACTERS,
    Drain,
    Draining,
    ProcessStacks,
    Recycle,
    Recycling,
    Resize,
    Resized,
    Stacks,
    TellStacks,
)
from warren.stopping import Stopping
from warren.worker.control import Control
from warren.worker.intake import Intake
from warren.worker.pool import Pool


@dataclass(frozen=True, slots=True)
class Steering:
    """Obeys for one worker.

    Attributes:
        grace: seconds that running jobs have when it stops.
        bounds: how many processes it may have at least and at most by its own reckoning; it has no choice where they are equal.
    """

    pool: Pool
    intake: Intake
    stopping: Stopping
    grace: float
    bounds: tuple[int, int]
    clock: Clock = clock.wall

    def listen(self, control: Control) -> None:
        """Hear what is said."""
        control.on(Drain, self._drain)
        control.on(Resize, self._resize)
        control.on(Recycle, self._recycle)
        control.on(TellStacks, self._stacks)

    def _drain(self, _: Drain) -> Draining:
        begins = self.stopping.ask_gently("drain")
        return Draining(self.intake.running, self.grace, already=not begins)

    def _resize(self, command: Resize) -> Resized:
        before, (least, most) = self.pool.size, self.bounds
        refused = self._ends
        if not 1 <= command.processes <= MOST_PROCESSES:
            refused = f"{command.processes} is no number of processes: take 1 to {MOST_PROCESSES}"
        elif least != most:
            refused = (
                refused or f"it scales by itself between {least} and {most} processes (--processes {least}..{most})"
            )
        if not refused:
            self.pool.resize(command.processes)
        return Resized(before, self.pool.size, refused)

    def _recycle(self, _: Recycle) -> Recycling:
        refused = self._ends
        if not refused:
            self.pool.recycle()
        return Recycling(0 if refused else self.pool.size, refused)

    @property
    def _ends(self) -> str:
        return "it is about to end" if self.stopping.asked.is_set() else ""

    async def _stacks(self, _: TellStacks) -> Stacks:
        slots = bounded(self.pool.status(self.clock()))
        texts = await self.pool.stacks()
        return Stacks(
            tuple(
                # One that leaves is not asked: the answer of its slot is its successor's.
                ProcessStacks(slot.slot, slot.pid, slot.jobs, "" if slot.leaves else _cut(texts.get(slot.slot, "")))
                for slot in slots
            )
        )


def _cut(text: str) -> str:
    over = len(text) - STACKS_CHARACTERS
    return text if over <= 0 else f"{text[:STACKS_CHARACTERS]}\n… {over:,} more characters"
