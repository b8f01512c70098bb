"""The parent's side of a process's event loop: the coroutine jobs that run there."""

import asyncio
import itertools
import socket
import time
from collections.abc import Callable

from warren.worker.assignment import Assignment
from warren.worker.frames import (
    Ask,
    Begin,
    Chains,
    Counted,
    Ended,
    FromLoop,
    Interrupt,
    Progress,
    Run,
    Said,
    ToLoop,
    Unpacker,
    encode,
    frame,
)
from warren.worker.wire import Wire


class LoopSide:
    """Has coroutine jobs begin on one process's loop, and hears of them. Only touched from the parent's loop.

    Args:
        on_counted, on_progress: told what it says.
        on_ended: called when some have ended.
        on_broken: called when we cannot hear it any more.
    """

    def __init__(
        self,
        on_counted: Callable[[Counted], None],
        on_progress: Callable[[Run, Progress], None],
        on_ended: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        self.running: dict[int, Assignment] = {}
        """By number; 0 means none."""
        self.ran = 0
        """Jobs that have ended."""
        self.silent = asyncio.Event()
        """Set when nothing more will be read."""
        self._counted, self._progress, self._ended, self._broken = on_counted, on_progress, on_ended, on_broken
        self._numbers = itertools.count(1)
        self._questions: dict[int, asyncio.Future[dict[int, str]]] = {}
        self._unpacker = Unpacker(FromLoop)
        self._transport: asyncio.Transport | None = None

    async def share_over(self, wire: socket.socket) -> None:
        """Connect with whoever holds the other end of a socket pair."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        socket.send_fds(wire, [b"l"], [theirs.fileno()])
        theirs.close()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: Wire(self._read, self._lost), sock=ours)

    def begin(self, assignment: Assignment) -> None:
        """Have a job run beside the others."""
        number = assignment.number = next(self._numbers)
        self.running[number] = assignment
        assignment.since = time.monotonic()
        assignment.work.started()
        self._write(Begin(number, assignment.run))

    def interrupt(self, assignment: Assignment, why: str) -> None:
        """Have a job cancelled, if it still runs."""
        if self.running.get(assignment.number) is assignment:
            self._write(Interrupt(assignment.number, why))

    async def chains(self, seconds: float) -> dict[Assignment, str] | None:
        """Return what each job there waits for; None when the loop does not answer in time."""
        if not self.running:
            return {}
        question = next(self._numbers)
        answer = self._questions[question] = asyncio.get_running_loop().create_future()
        self._write(Ask(question))
        await asyncio.wait([answer], timeout=seconds)
        del self._questions[question]
        if not answer.done():
            return None
        return {self.running[number]: text for number, text in answer.result().items() if number in self.running}

    def give_up(self) -> list[Assignment]:
        """Close; returns the jobs that will not end any more."""
        if self._transport is not None:
            self._transport.close()
        left, self.running = list(self.running.values()), {}
        return left

    def _write(self, message: ToLoop) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(frame(encode(message)))

    def _lost(self, error: Exception | None) -> None:
        self.silent.set()
        if error is not None and not isinstance(error, OSError):
            self._broken()

    def _read(self, data: bytes) -> None:
        ended = len(self.running)
        for message in self._unpacker.feed(data):
            if isinstance(message, Counted):
                self._counted(message)
            elif isinstance(message, Chains):
                if message.question in self._questions:
                    self._questions[message.question].set_result(message.texts)
            else:
                self._say(message)
        if len(self.running) < ended:
            self._ended()

    def _say(self, message: Said) -> None:
        assignment = self.running.get(message.number)
        if assignment is None:
            return
        if isinstance(message.what, Progress):
            assignment.progress = message.what
            self._progress(assignment.run, message.what)
        elif isinstance(message.what, Ended):
            del self.running[message.number]
            self.ran += 1
            if not assignment.withdrawn:
                assignment.work.ended(message.what)
                assignment.work.over(None)
