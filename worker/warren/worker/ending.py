"""How a run is ended before it ends by itself: interrupted in its own code, or killed with its process; never another in its stead."""

import asyncio
import time
from dataclasses import dataclass

from warren.outcome import Crashed
from warren.worker.assignment import Assignment
from warren.worker.blame import BLOCKS, CANCELLED
from warren.worker.dispatch import Dispatch
from warren.worker.handling import Handling
from warren.worker.loop_watch import blocker_of
from warren.worker.process import PoolProcess


@dataclass(frozen=True, slots=True)
class Ending:
    """Ends runs of a pool.

    Attributes:
        dispatch: takes back what waits behind one.
        handling: signals processes.
    """

    dispatch: Dispatch
    handling: Handling

    def cancel(self, assignment: Assignment, grace: float) -> None:
        """Have a run end that is not wanted any more: it never begins, or is interrupted, and killed if it goes on for `grace` s.

        By whatever way it ends, its work hears of that; of a kill, or when it never begins, as a crash for `CANCELLED`.
        """
        self.dispatch.take_back()
        if assignment.process is not None and not assignment.in_loop:
            self.dispatch.take_back_from(assignment.process)
        if assignment.process is None:
            assignment.withdrawn = True
            assignment.work.over(Crashed(None, None, killed_for=CANCELLED))
            return
        self.interrupt(assignment, CANCELLED)
        asyncio.get_running_loop().call_later(grace, self.kill, assignment, CANCELLED)

    def interrupt(self, assignment: Assignment, why: str) -> None:
        """Raise in a job's own code that it is cancelled, if it runs: `Cancelled` in a plain task, `CancelledError` in a coroutine."""
        process = assignment.process
        if process is None or not self._is_alone(process, assignment):
            return
        if assignment.in_loop:
            process.loop.interrupt(assignment, why)
        else:
            self.handling.interrupt(process, assignment)

    def kill(self, assignment: Assignment, why: str) -> None:
        """Kill the process that runs this, if it still does; only this is charged, or who kept it from going on."""
        process = assignment.process
        if process is None or not self._is_alone(process, assignment):
            return
        blocker = blocker_of(process, time.monotonic()) if assignment.in_loop else None
        if blocker is None or blocker is assignment:
            self.handling.kill(process, why, assignment)
        else:
            self.handling.kill(process, BLOCKS, blocker)

    def _is_alone(self, process: PoolProcess, assignment: Assignment) -> bool:
        """See to it that a process runs this in its main thread, or on its loop, and that nothing else begins there."""
        if assignment.in_loop:
            return assignment.number in process.loop.running
        if process.held and process.held[0] is assignment:
            self.dispatch.take_back_from(process)
        return list(process.held) == [assignment]  # else it has ended just now, and the next one would be hit
