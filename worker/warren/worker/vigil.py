"""Finds the processes of a pool that hang: while they start, while they have nothing to do, when they should end.

One that runs a job is left alone: how long that may take is the task's to say. Whether one with nothing to do is there still,
is asked by giving it a turn for nothing, and looking whether it takes it: the kernel knows, so a process needs no code
of its own for an answer. The same shows one that was given a job and never came to it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from warren.events import Events, ProcessSilent
from warren.worker.blame import DOES_NOT_ANSWER, DOES_NOT_END
from warren.worker.frames import Ping
from warren.worker.process import PoolProcess
from warren.worker.roster import Roster


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds.

    Attributes:
        look: from one look at all processes to the next.
        ask: with nothing to do, after which a process is asked whether it is there.
        answer: for that; many, as a busy machine keeps processes waiting.
        start: after which it is told that one has not started; it is not ended for that.
        end: after which one that should end is killed.
    """

    look: float = 1.0
    ask: float = 5.0
    answer: float = 10.0
    start: float = 60.0
    end: float = 30.0


class Vigil:
    """Looks at the processes of a pool, again and again.

    Args:
        roster: the processes.
        kill: ends one that hangs, and says why.
        events: hears of what hangs.
    """

    def __init__(
        self,
        roster: Roster,
        kill: Callable[[PoolProcess, str], None],
        events: Events,
        *,
        patience: Patience = Patience(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roster = roster
        self._kill = kill
        self._events = events
        self._patience = patience
        self._clock = clock
        self._since: dict[PoolProcess, tuple[object, float]] = {}
        """What each was seen to be at, and since when."""
        self._tell_at: dict[PoolProcess, float] = {}
        """When to say next that one has not started, in seconds from its beginning."""
        self._looked = clock()

    async def keep(self) -> None:
        """Look again and again; never returns."""
        while True:
            self.look()
            await asyncio.sleep(self._patience.look)

    def look(self) -> None:
        """Look at every process once."""
        now = self._clock()
        late = now - self._looked - self._patience.look
        self._looked = now
        if late > self._patience.look:  # we were stopped ourselves, and perhaps so were they: that is nobody's fault
            self._since = {process: (doing, since + late) for process, (doing, since) in self._since.items()}
        alive = [process for process in self._roster if process.alive and not process.killed_for]
        self._since = {process: self._seen(process, now) for process in alive}
        self._tell_at = {process: self._tell_at[process] for process in alive if process in self._tell_at}
        for process, (doing, since) in self._since.items():
            self._judge(process, doing, now - since)

    def _seen(self, process: PoolProcess, now: float) -> tuple[object, float]:
        doing = _doing(process)
        before, since = self._since.get(process, (None, now))
        return doing, since if doing == before else now

    def _judge(self, process: PoolProcess, doing: object, seconds: float) -> None:
        patience = self._patience
        match doing:
            case "starting" if seconds >= self._tell_at.get(process, patience.start):
                self._tell_at[process] = 2 * seconds
                self._events.emit(ProcessSilent(process.pid, process.slot, "starting", seconds))
            case "leaving" if seconds >= patience.end:
                self._give_up(process, "leaving", seconds, DOES_NOT_END)
            case "idle" if seconds >= patience.ask:
                self._since[process] = doing, self._clock()
                process.tell(Ping())
            case int() if seconds >= patience.answer:
                self._give_up(process, "idle", seconds, DOES_NOT_ANSWER)

    def _give_up(self, process: PoolProcess, doing: str, seconds: float, why: str) -> None:
        self._events.emit(ProcessSilent(process.pid, process.slot, doing, seconds))
        self._kill(process, why)


def _doing(process: PoolProcess) -> object:
    """What a process is at; the number of a turn that it should have taken."""
    if not process.ready:
        return "starting"
    if (dawdles := process.dawdles) is not None:
        return dawdles
    if process.busy:
        return "working"
    return "leaving" if process.leaving else "idle"
