"""One pool process as its parent sees it: a socket, what it runs now, and how it ended."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from warren.outcome import Crashed
from warren.worker.frames import Broken, Counted, Ended, FromProcess, Progress, Ready, Run, Stop, Unpacker, pack
from warren.worker.journal import Journal
from warren.worker.keeper import Exit

OnEnded = Callable[[Ended], None]

_LAST_WORDS_SECONDS = 1.0


class ProcessDied(Exception):
    """The process ended under what it ran; `crash` is the evidence."""

    def __init__(self, crash: Crashed) -> None:
        super().__init__(str(crash))
        self.crash = crash


class PoolProcess:
    """A slot's process: starting, free, busy, then ended. Only touched from the loop.

    Args:
        slot: its number in the pool.
        on_ready: told with the process and its tasks once its modules are imported.
        on_broken: told why when they cannot be.
        on_counted: given the metrics its tasks counted.
        on_progress: told how far the job it runs is.
    """

    def __init__(
        self,
        slot: int,
        *,
        on_ready: Callable[["PoolProcess", Ready], None],
        on_broken: Callable[["PoolProcess", str], None],
        on_counted: Callable[[Counted], None],
        on_progress: Callable[[Run, Progress], None],
    ) -> None:
        self.slot = slot
        self.pid = 0
        self.ready = False
        self.alive = True
        self.killed_for = ""
        self._on_ready, self._on_broken, self._on_counted = on_ready, on_broken, on_counted
        self._on_progress = on_progress
        self._run: Run | None = None
        self._unpacker = Unpacker(FromProcess)
        self._running: asyncio.Future[None] | None = None
        self._on_ended: OnEnded | None = None
        self._transport: asyncio.Transport | None = None
        self._journal: Journal | None = None
        self._silent = asyncio.Event()

    @property
    def busy(self) -> bool:
        return self._running is not None

    async def connect(self, ours: socket.socket) -> None:
        """Read and write on our end of the socket pair from now on."""
        self._journal = Journal.shared_over(ours)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: _Wire(self._read, self._silent.set), sock=ours)

    @property
    def usable(self) -> bool:
        """Whether a job can be given to it now."""
        return self.ready and self.alive and not self.killed_for and not self._silent.is_set()

    def begin(self, run: Run, on_ended: OnEnded) -> asyncio.Future[None]:
        """Have a job run; `on_ended` is told every outcome, the future is done after the last or fails with `ProcessDied`."""
        assert self._transport is not None
        self._running = asyncio.get_running_loop().create_future()
        self._run, self._on_ended = run, on_ended
        self._transport.write(pack(run))
        return self._running

    def rest(self) -> None:
        """Note that its job is over."""
        self._running = self._run = self._on_ended = None

    def stop(self) -> None:
        """Ask it to end; it does when it is idle."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(Stop()))

    async def conclude(self, exit_: Exit | None) -> Crashed:
        """Take note that the kernel ended it, after its last words are read; whoever waits for its outcome is told."""
        self.alive = False
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._silent.wait()
        except TimeoutError:
            pass  # something it had started still holds the socket open
        self._read_journal()
        signal, code, memory = (exit_.signal, exit_.exit_code, exit_.max_rss) if exit_ else (None, None, 0)
        crash = Crashed(signal, code, memory, self.killed_for)
        if self._running is not None and not self._running.done():
            self._running.set_exception(ProcessDied(crash))
        if self._transport is not None:
            self._transport.close()
        return crash

    def _read_journal(self) -> None:
        """Take what a process that is gone had done of its unit and not told."""
        if self._journal is not None:
            if self._run is not None and self._run.unit is not None:
                self._take(self._journal.untold())
            self._journal.close()

    def _read(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            self._take(message)

    def _take(self, message: Any) -> None:
        match message:
            case Ended():
                if self._on_ended is not None:
                    self._on_ended(message)
                if message.last and self._running is not None and not self._running.done():
                    self._running.set_result(None)
            case Counted():
                self._on_counted(message)
            case Ready():
                self.ready = True
                self._on_ready(self, message)
            case Broken():
                self._on_broken(self, message.error)
            case Progress():
                if self._run is not None:
                    self._on_progress(self._run, message)


class _Wire(asyncio.Protocol):
    """Hands bytes on, and says when there will be no more."""

    def __init__(self, read: Callable[[bytes], None], silent: Callable[[], None]) -> None:
        self._read, self._silent = read, silent

    def data_received(self, data: bytes) -> None:
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        self._silent()
