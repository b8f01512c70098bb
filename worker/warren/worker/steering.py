"""What a worker does when it is steered from outside; `warren.steering` has what it can be told."""

from dataclasses import dataclass

from warren import clock
from warren.clock import Clock
from warren.status import bounded
from warren.steering import STACKS_CHARACTERS, Drain, Draining, ProcessStacks, Stacks, TellStacks
from warren.worker.control import Control
from warren.worker.intake import Intake
from warren.worker.pool import Pool
from warren.worker.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Steering:
    """Obeys for one worker.

    Attributes:
        grace: seconds that running jobs have when it stops.
    """

    pool: Pool
    intake: Intake
    stopping: Stopping
    grace: float
    clock: Clock = clock.wall

    def listen(self, control: Control) -> None:
        """Hear what is said."""
        control.on(Drain, self._drain)
        control.on(TellStacks, self._stacks)

    def _drain(self, _: Drain) -> Draining:
        begins = self.stopping.ask_gently("drain")
        return Draining(self.intake.running, self.grace, already=not begins)

    async def _stacks(self, _: TellStacks) -> Stacks:
        slots = bounded(self.pool.status(self.clock()))
        texts = await self.pool.stacks()
        return Stacks(
            tuple(ProcessStacks(slot.slot, slot.pid, slot.jobs, _cut(texts.get(slot.slot, ""))) for slot in slots)
        )


def _cut(text: str) -> str:
    over = len(text) - STACKS_CHARACTERS
    return text if over <= 0 else f"{text[:STACKS_CHARACTERS]}\n… {over:,} more characters"
