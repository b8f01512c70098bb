"""One pool process as its parent sees it: its sockets, the jobs it holds, and how it ended."""

import asyncio
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warren.outcome import Crashed
from warren.worker.assignment import Assignment
from warren.worker.black_box import BlackBox
from warren.worker.blame import charges
from warren.worker.frames import (
    Broken,
    Counted,
    Ended,
    FromProcess,
    Ping,
    Progress,
    Ready,
    Run,
    Stop,
    Unpacker,
    Unprepared,
    encode,
)
from warren.worker.journal import Journal
from warren.worker.keeper import Exit
from warren.worker.loop_side import LoopSide
from warren.worker.output import Relay
from warren.worker.turns import Turns
from warren.worker.wire import Wire

_LAST_WORDS_SECONDS = 1.0
_LOW = 8
"""A process with fewer jobs to go is sent what it holds beyond them; before that, more may come to be sent with it."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what of a process; called on the loop."""

    ready: Callable[["PoolProcess", Ready], None]
    """Its modules are imported; these are its tasks."""
    broken: Callable[["PoolProcess", str], None]
    """They cannot be, and why."""
    unprepared: Callable[["PoolProcess"], None]
    """It was forked too early: another, forked later, shall be in its place."""
    rested: Callable[["PoolProcess"], None]
    """Something it held has ended."""
    returned: Callable[[list[Assignment]], None]
    """It died before it had begun these."""
    freed: Callable[[], None]
    """Something on its event loop has ended."""
    counted: Callable[[Counted], None]
    """What its tasks' own metrics counted."""
    progress: Callable[[Run, Progress], None]
    """How far the job it runs is."""
    useless: Callable[["PoolProcess"], None]
    """It is to be killed, as we cannot hear it any more."""


class PoolProcess:
    """A slot's process: starting, free, busy, then ended. Only touched from the loop.

    Args:
        slot: its number in the pool.
        listeners: told what it says.
    """

    def __init__(self, slot: int, listeners: Listeners) -> None:
        self.slot = slot
        self.pid = 0
        self.ready = False
        self.alive = True
        self.leaving = False
        """Told to finish what it runs, and no more."""
        self.premature = False
        """It only came to say that something must be done before it is forked."""
        self.spent = False
        """It is given no more jobs, until its successor is there."""
        self.killed_for = ""
        self.culprit: Assignment | None = None
        """What it was killed for, if for one of several."""
        self.loop = LoopSide(
            listeners.counted, listeners.progress, listeners.freed, lambda: self._listeners.useless(self)
        )
        """Where its coroutine jobs run."""
        self.held: deque[Assignment] = deque()
        """The first is being run, or will be in a moment; the others follow it."""
        self.ran = 0
        """Plain jobs and units that have ended."""
        self.since = 0.0
        """When the first one began, by the monotonic clock."""
        self._listeners = listeners
        self._unpacker = Unpacker(FromProcess)
        self._flushing = False
        self._frames: list[bytes] = []
        """Given, and not sent yet."""
        self._numbers: list[int] = []
        self._transport: asyncio.Transport | None = None
        self.journal: Journal | None = None
        self.box: BlackBox | None = None
        self._turns: Turns | None = None
        self._silent = asyncio.Event()

    async def connect(self, ours: socket.socket, relay: Relay) -> None:
        """Read and write on our end of the socket pair from now on, and have its output go through the relay.

        Raises:
            OSError: something could not be opened; the rest is closed by `conclude`.
        """
        try:
            self.box = BlackBox.shared_over(ours, relay)
            self.journal = Journal.shared_over(ours)
            self._turns = Turns.shared_over(ours)
            await self.loop.share_over(ours)
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_connection(lambda: Wire(self._read, self._lost), sock=ours)
        except OSError:
            ours.close()
            for silent in (self._silent, self.loop.silent):  # nobody will say anything
                silent.set()
            raise

    @property
    def usable(self) -> bool:
        """Whether a job can be given to it now."""
        return (
            self.ready and self.alive and not (self.leaving or self.spent or self.killed_for or self._silent.is_set())
        )

    @property
    def busy(self) -> bool:
        """Whether it runs anything."""
        return bool(self.held or self.loop.running)

    def give(self, assignment: Assignment, *, at_once: bool) -> None:
        """Have something run after what it holds already; sent at once, or together with more when it needs it."""
        assignment.process = self
        assignment.number = self._write(assignment.encoded)
        self.held.append(assignment)
        if at_once:
            self._flush()
        elif not self._flushing and len(self.held) - len(self._frames) < _LOW:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        if len(self.held) == 1:
            self.since = time.monotonic()
            assignment.work.started()

    def take_back(self) -> list[Assignment]:
        """Return what it had not begun, and does not hold any more; all the rest has begun."""
        if self._turns is None:
            return []
        numbers = self._turns.take_back().union(self._numbers)
        self._frames, self._numbers = [], []
        held, self.held = self.held, deque(each for each in self.held if each.number not in numbers)
        for each in itertools.islice(self.held, 1, None):
            each.work.started()
        back = [each for each in held if each.number in numbers]
        for each in back:
            each.process = None
            each.work.returned()
        return back

    @property
    def dawdles(self) -> int | None:
        """The number of the turn that it does not take though it runs nothing, so far as is known; None when there is no such."""
        number = None if self._turns is None else self._turns.first_untaken()
        behind = [each.number for each in itertools.islice(self.held, 1, None)]
        return None if number is None or number in behind else number

    def tell(self, message: Stop | Ping) -> None:
        """Have it end when it is idle, or take a turn for nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(encode(message))
            self._flush()

    async def conclude(self, exit_: Exit | None) -> Crashed:
        """Take note that the kernel ended it, after its last words are read; whoever waits for its outcome is told."""
        self.alive = False
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._silent.wait()
                await self.loop.silent.wait()
        except TimeoutError:
            pass  # something it had started still holds the socket open
        crash = Crashed(None, None, 0, self.killed_for)
        if self.box is not None:
            crash = await self.box.crash(exit_, self.killed_for, alone=not self.loop.running)
        marked = self._read_journal()
        back = self.take_back()
        held, self.held = [*self.held, *self.loop.give_up()], deque()
        self._listeners.freed()
        for assignment, charge in charges(crash, held, self.culprit, marked):
            if not assignment.withdrawn:
                assignment.work.over(charge)
        if self._turns is not None:
            self._turns.close()
        if self._transport is not None:
            self._transport.close()
        self._listeners.returned(back)
        return crash

    def _write(self, encoded: bytes) -> int:
        assert self._turns is not None
        number, frame = self._turns.numbered(encoded)
        self._frames.append(frame)
        self._numbers.append(number)
        return number

    def _flush(self) -> None:
        """Send what was given."""
        self._flushing = False
        if self._frames:
            assert self._transport is not None
            assert self._turns is not None
            frames, self._frames = self._frames, []
            numbers, self._numbers = self._numbers, []
            self._transport.write(b"".join(frames))
            self._turns.grant(numbers)

    def _lost(self, error: Exception | None) -> None:
        """Nothing more will be read: it has ended, or we have failed; then it waits for turns that never come."""
        self._silent.set()
        if error is not None and not isinstance(error, OSError):
            self._listeners.useless(self)

    def _read_journal(self) -> int:
        """Take what a process that is gone had done of its unit and not told; returns which coroutine job ran last."""
        if self.journal is None:
            return 0
        if self.held and self.held[0].run.unit is not None:
            self._take(self.journal.untold())
        marked, _ = self.journal.marked
        self.journal.close()
        return marked

    def _read(self, data: bytes) -> None:
        held = len(self.held)
        for message in self._unpacker.feed(data):
            self._take(message)
        if self._frames and len(self.held) - len(self._frames) < _LOW:
            self._flush()
        if len(self.held) < held:
            self._listeners.rested(self)

    def _take(self, message: Any) -> None:
        match message:
            case Ended():
                self._ended(message)
            case Counted():
                self._listeners.counted(message)
            case Ready():
                self.ready = True
                self._listeners.ready(self, message)
            case Unprepared():
                self.premature = True
                self._listeners.unprepared(self)
            case Broken():
                self._listeners.broken(self, message.error)
            case Progress():
                if self.held:
                    self.held[0].progress = message
                    self._listeners.progress(self.held[0].run, message)

    def _ended(self, message: Ended) -> None:
        if self.held:
            first = self.held[0]
            if not first.withdrawn:
                first.work.ended(message)
            if message.last:
                self.ran += 1
                self.held.popleft()
                if self.held:
                    self.since = time.monotonic()
                    self.held[0].work.started()
                if not first.withdrawn:
                    first.work.over(None)
