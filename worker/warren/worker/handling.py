"""What is done to a pool process from outside, by signals: its job interrupted, its stacks looked at, itself killed."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from warren.worker.assignment import Assignment
from warren.worker.blame import STOPPING
from warren.worker.process import PoolProcess
from warren.worker.setup import INTERRUPT

_LAST_LOOK_SECONDS = 0.25
"""So long may a process that is to be killed take to say where it hangs."""


class Handling:
    """Signals processes.

    Args:
        send: sends a signal to a process that was started.
        do: begins what nobody waits for.
    """

    def __init__(
        self, send: Callable[[PoolProcess, int], None], do: Callable[[Coroutine[Any, Any, object]], None]
    ) -> None:
        self._send = send
        self._do = do

    def kill(self, process: PoolProcess, why: str, culprit: Assignment | None = None) -> None:
        """Kill one process, after a look at where it hangs; its jobs' runners get `why` with the evidence.

        Args:
            process: what is being killed already is so for the reason that it was given first, unless the worker stops.
            why: for the evidence.
            culprit: the job that it is for, if for one of several.
        """
        if process.alive and process.pid and (not process.killed_for or why == STOPPING):
            process.killed_for, process.culprit = why, culprit
            self._do(self._look_and_kill(process))

    def interrupt(self, process: PoolProcess, assignment: Assignment) -> None:
        """Interrupt the plain job that a process runs, and no later one."""
        if process.alive and process.pid and process.journal is not None:
            process.journal.interrupt(assignment.number)
            self._send(process, INTERRUPT)

    async def stacks(self, process: PoolProcess, seconds: float) -> str:
        """Return the Python stacks of a process's threads; nothing when it does not answer in so many seconds."""
        if process.box is None or not (process.alive and process.pid):
            return ""
        return await process.box.stacks(process.pid, partial(self._send, process), seconds)

    async def stacks_of(self, processes: Iterable[PoolProcess], seconds: float) -> dict[int, str]:
        """Return the stacks of all processes that are there, by slot."""
        found = [process for process in processes if process.alive and process.pid]
        stacks = await asyncio.gather(*(self._whole(process, seconds) for process in found))
        return dict(zip([process.slot for process in found], stacks, strict=True))

    async def _whole(self, process: PoolProcess, seconds: float) -> str:
        """The threads' stacks, and below them the await chains of coroutine jobs."""
        stacks, chains = await asyncio.gather(self.stacks(process, seconds), process.loop.chains(seconds))
        if chains is None:
            return f"{stacks}\n\nThe event loop does not answer: what blocks it is above."
        jobs = (f"Coroutine job {each.run.job_id} {each.run.task}\n{text}" for each, text in chains.items())
        return "\n\n".join([*([stacks] if stacks else []), *jobs])

    async def _look_and_kill(self, process: PoolProcess) -> None:
        await self.stacks(process, _LAST_LOOK_SECONDS)
        if process.alive:
            self._send(process, signal.SIGKILL)
