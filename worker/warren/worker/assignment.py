"""A unit of work on its way through the pool, and who hears of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from warren.outcome import Crashed
from warren.worker.frames import Ended, Progress, Run

if TYPE_CHECKING:
    from warren.worker.process import PoolProcess


class ProcessDied(Exception):
    """The process ended under what it ran; `crash` is the evidence."""

    def __init__(self, crash: Crashed) -> None:
        super().__init__(str(crash))
        self.crash = crash


class Work(Protocol):
    """Hears what becomes of a run; called on the loop, and must not raise."""

    def started(self) -> None:
        """A process begins it, or is about to."""

    def ended(self, message: Ended) -> None:
        """It, or a part of it, has its outcome."""

    def returned(self) -> None:
        """No process has begun it, whatever was said; it is to be given to another."""

    def over(self, crash: Crashed | None) -> None:
        """There will be no more outcomes: the last one was told, or its process died."""


@dataclass(slots=True, eq=False)
class Assignment:
    """A run for some process of the pool.

    Attributes:
        encoded: the run as it travels.
        place: in the order in which they were submitted.
        alone: to be given only to a process that holds nothing.
        withdrawn: not to be given to a process any more; nobody wants to hear of it.
        process: that holds it, if one does.
        number: of its frame there; or on the process's event loop.
        in_loop: runs on the process's event loop, beside others.
        since: when it began on the loop, by the monotonic clock; for others the process knows.
        progress: what it said last of how far it is.
    """

    run: Run
    encoded: bytes
    work: Work
    alone: bool
    place: int = 0
    withdrawn: bool = False
    process: "PoolProcess | None" = None
    number: int = 0
    in_loop: bool = False
    since: float = 0.0
    progress: Progress | None = None


class Awaited:
    """Work that a coroutine waits for: `done` fails with `ProcessDied`."""

    def __init__(self, on_start: Callable[[], None], on_ended: Callable[[Ended], None]) -> None:
        self.started, self.ended = on_start, on_ended
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def returned(self) -> None:
        """Whoever waits for it need not know."""

    def over(self, crash: Crashed | None) -> None:
        if self.done.done():
            return  # nobody waits any more
        if crash is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(ProcessDied(crash))


class Killable:
    """Work that may be killed: counts down from its start, anew for every outcome, and never beyond one moment.

    Args:
        work: this.
        seconds: for one outcome.
        until: the moment, by the monotonic clock.
        kill: given the reason.
    """

    def __init__(self, work: Work, seconds: float, until: float, kill: Callable[[str], None]) -> None:
        self._work, self._seconds, self._until, self._kill = work, seconds, until, kill
        self._timer: asyncio.TimerHandle | None = None

    def started(self) -> None:
        self._count_down()
        self._work.started()

    def ended(self, message: Ended) -> None:
        self._count_down()
        self._work.ended(message)

    def returned(self) -> None:
        self._stop()
        self._work.returned()

    def over(self, crash: Crashed | None) -> None:
        self._stop()
        self._work.over(crash)

    def _count_down(self) -> None:
        self._stop()
        seconds, why = self._seconds, f"over its kill_after of {self._seconds} s"
        left = self._until - time.monotonic()
        if left < seconds:
            seconds, why = max(0.0, left), "over its deadline, and it did not end"
        self._timer = asyncio.get_running_loop().call_later(seconds, self._kill, why)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
