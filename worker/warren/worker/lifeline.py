"""Which of the nursery's processes is which of ours: asks for them, has them signalled, hears of every end."""

import asyncio
import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from warren.worker.keeper import Exit, Keeper, News
from warren.worker.oom import OomWatch, own_counter
from warren.worker.output import Relay, standard_outputs
from warren.worker.process import PoolProcess
from warren.worker.setup import Setup


@dataclass(frozen=True, slots=True)
class Fates:
    """Who is told what; called on the loop."""

    not_started: Callable[[PoolProcess, str], None]
    """There is no such process, and why."""
    ended: Callable[[PoolProcess, Exit], None]
    all_gone: Callable[[list[PoolProcess]], None]
    """The nursery died, and all these with it."""


class Lifeline:
    """Owns the nursery of the moment; the next process that is asked for after its death brings another."""

    def __init__(self, setup: Setup, fates: Fates) -> None:
        self.setup = setup
        self._fates = fates
        self._keeper: Keeper | None = None
        self._relay: Relay | None = None
        self._oom = OomWatch(own_counter())
        self._numbers = itertools.count()
        self._asked_for: dict[int, PoolProcess] = {}
        """By the number that the nursery was told; a slot may have two that start."""
        self._by_pid: dict[int, PoolProcess] = {}
        self.empty = asyncio.Event()
        """Set by the end of the last process, until another is started."""

    @property
    def has_processes(self) -> bool:
        return bool(self._by_pid)

    async def launch(self, process: PoolProcess) -> None:
        """Ask for a process and connect to it.

        Raises:
            OSError: there are no descriptors, or no memory, for it; what was opened goes with the process's `conclude`.
        """
        if self._relay is None:
            self._relay = Relay(*standard_outputs())
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            await process.connect(ours, self._relay)
            if self._keeper is None:
                self._keeper = Keeper(self.setup, News(self._started, self._not_started, self._exited, self._gone))
            number = next(self._numbers)
            self._asked_for[number] = process
            self._keeper.start(number, theirs)

    def prepare(self) -> None:
        """Have what the modules want done before a fork done before the next."""
        if not self.setup.prepare:
            self.setup = msgspec.structs.replace(self.setup, prepare=True)
            if self._keeper is not None:
                self._keeper.prepare()

    def send(self, process: PoolProcess, number: int) -> None:
        """Send a signal to a process that was started."""
        if self._keeper is not None:
            self._keeper.kill(process.pid, number)

    async def close(self) -> None:
        """End the nursery, and whatever processes are left with it."""
        if self._keeper is not None:
            await self._keeper.close()

    async def fall_silent(self) -> None:
        """Pass on what the processes had printed, when they are gone."""
        if self._relay is not None:
            await self._relay.close()

    def _started(self, number: int, pid: int) -> None:
        process = self._asked_for.pop(number)
        process.pid = pid
        self.empty.clear()
        self._by_pid[pid] = process

    def _not_started(self, number: int, error: str) -> None:
        self._fates.not_started(self._asked_for.pop(number), error)

    def _exited(self, exit_: Exit) -> None:
        process = self._by_pid.pop(exit_.pid)
        if not self._by_pid:
            self.empty.set()
        oom = self._oom.did_it(exit_.signal, ours=bool(process.killed_for))
        self._fates.ended(process, replace(exit_, oom=oom))

    def _gone(self) -> None:
        self._keeper = None
        lost = [*self._asked_for.values(), *self._by_pid.values()]
        self._asked_for, self._by_pid = {}, {}
        self._fates.all_gone(lost)
