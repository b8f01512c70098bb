"""The parent's side of the nursery: asks for processes, hears how they ended, starts a new nursery when the old one dies."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from warren.worker.setup import Setup

_READ_BYTES = 65536
_END_SECONDS = 10.0

start_program = subprocess.Popen
"""How the nursery is started; a test puts another in its place."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a pool process ended, as the kernel said; `max_rss` in bytes, `oom` if its out-of-memory killer did it and that is known."""

    pid: int
    signal: int | None
    exit_code: int | None
    max_rss: int
    oom: bool | None = None


@dataclass(slots=True)
class News:
    """Who is told what; called on the loop."""

    started: Callable[[int, int], None]
    """The number under which it was asked for, and its pid."""
    failed: Callable[[int, str], None]
    """That number, and why it could not be started."""
    exited: Callable[[Exit], None]
    gone: Callable[[], None]
    """The nursery itself died, and every process with it."""


class Keeper:
    """Starts a nursery and talks to it.

    Raises:
        OSError: it cannot be started now.
    """

    def __init__(self, setup: Setup, news: News) -> None:
        ours, theirs = socket.socketpair()
        self._news = news
        self._control = ours
        self._buffer = b""
        command = [
            sys.executable,
            "-m",
            "warren.worker.nursery",
            str(theirs.fileno()),
            json.dumps(msgspec.to_builtins(setup)),
        ]
        # An embedding application may have found us by a path of its own making.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(setup.path)}
        try:
            self._program = start_program(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environ)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._reaping: asyncio.Future[int] | None = None
        self._loop.add_reader(ours, self._read)

    @property
    def pid(self) -> int:
        return self._program.pid

    def start(self, number: int, wire: socket.socket) -> None:
        """Ask for a process that has this socket; `started` or `failed` follows, with this number."""
        with contextlib.suppress(OSError):  # it is dying: `gone` follows
            socket.send_fds(self._control, [json.dumps({"start": number}).encode() + b"\n"], [wire.fileno()])

    def prepare(self) -> None:
        """Have the modules imported, and their `warren_init` run, before the next process is started."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"prepare": True}).encode() + b"\n")

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a process that is still there."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"kill": pid, "signal": number}).encode() + b"\n")

    async def close(self) -> None:
        """End the nursery and whatever processes are left."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._program.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # a function of the user's keeps it
            self._program.kill()
            self._program.wait()

    def _read(self) -> None:
        try:
            data = self._control.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control)
            self._control.close()
            self._reaping = self._loop.run_in_executor(None, self._program.wait)  # it ends now, if it has not yet
            self._news.gone()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, news: dict[str, Any]) -> None:
        if "started" in news:
            self._news.started(news["started"], news["pid"])
        elif "failed" in news:
            self._news.failed(news["failed"], news["error"])
        else:
            status = news["status"]
            number, code = (-status, None) if status < 0 else (None, status)
            self._news.exited(Exit(news["exited"], number, code, news["max_rss"]))
