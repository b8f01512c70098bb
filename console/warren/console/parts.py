"""The daemons of `warren up`, each a process of its own: started together, kept, stopped one after the other.

- A part that ends by itself before it was ever ready cannot work: all is stopped, and its exit code is ours.
- One that ends with 0 was told to, as by `warren workers drain`: all is stopped.
- One that crashes is started again, after a second, then after ever longer; the others go on.
- Each leads a process group: a terminal's Ctrl-C reaches us alone, and we stop them in order. When we are gone, however we
  went, the kernel tells them to stop (PR_SET_PDEATHSIG, prctl(2)).
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from warren.stopping import Stopping

_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_GOOD_SECONDS = 60.0
"""A part that ran for that long is started again after the first pause."""
_LINE_BYTES, _PIECE_BYTES = 1024 * 1024, 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One daemon.

    Attributes:
        kind: of daemon, as in `warren KIND`.
        arguments: of that command.
        environ: its variables.
        stop_seconds: after which it is killed when it does not stop.
    """

    kind: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    stop_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How everything ended: the exit code, and what the part that could not start said of why."""

    code: int
    failure: dict[str, Any] | None = None


class Keeper:
    """Keeps one part running.

    Args:
        part: which.
        say: told what a human should know.
    """

    def __init__(self, part: Part, say: Callable[[str], None]) -> None:
        self.part = part
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What it said of itself when it was ready for the first time."""
        self.failure: dict[str, Any] | None = None
        """What it said last of why it could not go on."""
        self._say = say
        self._process: Process | None = None
        self._stopping = False

    async def run(self) -> int:
        """Keep it running for as long as it shall; returns the exit code that follows for everything."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._live()
            if self._stopping:
                return 0 if code == -signal.SIGTERM else _as_exit_code(code)
            if code == 0 or not self.ready.done():
                self._say(
                    f"the {self.part.kind} {'was told to end' if code == 0 else 'cannot start'}; stopping everything"
                )
                return _as_exit_code(code)
            if asyncio.get_running_loop().time() - began > _GOOD_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            why = f"{_how(code)}: {self.failure['error']}" if self.failure else _how(code)
            self._say(f"the {self.part.kind} has ended ({why}); it is started again in {pause:.0f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stop it: it is asked once, once more when all shall hurry, and killed if it does not go."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal(process, signal.SIGTERM)
        hurrying = asyncio.create_task(_hurried(process, hurry))
        try:
            async with asyncio.timeout(self.part.stop_seconds):
                await process.wait()
        except TimeoutError:
            self._say(f"the {self.part.kind} has not ended within {self.part.stop_seconds:.0f} s; it is killed")
            _signal(process, signal.SIGKILL)
            await process.wait()
        finally:
            hurrying.cancel()

    async def _live(self) -> int:
        """Run it once, to its end."""
        self.failure = None
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "warren", self.part.kind, *self.part.arguments, "--json"),
            env=self.part.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            process_group=0,
            preexec_fn=_end_with_parent,
        )
        assert self._process.stdout is not None
        await self._pass_on(self._process.stdout)
        return await self._process.wait()

    async def _pass_on(self, printed: asyncio.StreamReader) -> None:
        """Pass on what it prints, which is what its jobs print, but for the line in which it says that it is ready."""
        told = False
        while data := await (printed.read(_PIECE_BYTES) if told else printed.readline()):
            said = {} if told else _document(data)
            if said.keys() >= {"name", "http"}:
                told = True
                if not self.ready.done():
                    self.ready.set_result(said)
            elif said.keys() >= {"error", "kind"}:
                self.failure = said
            else:
                await asyncio.to_thread(_write, data)


async def keep(
    parts: Sequence[Part], say: Callable[[str], None], on_ready: Callable[[dict[str, dict[str, Any]]], None]
) -> Ended:
    """Run parts until a signal, or until one of them has all end.

    Args:
        parts: in the order in which they are stopped.
        say: told what a human should know.
        on_ready: told once what each said of itself, by kind, when all are ready.
    """
    loop, stopping = asyncio.get_running_loop(), Stopping()
    stopping.listen_to_signals(loop)
    loop.add_signal_handler(signal.SIGHUP, stopping.ask, "SIGHUP")
    keepers = [Keeper(part, say) for part in parts]
    running = [asyncio.create_task(keeper.run()) for keeper in keepers]
    telling = asyncio.create_task(_tell(keepers, on_ready))
    asked = asyncio.create_task(stopping.asked.wait())
    await asyncio.wait([*running, asked], return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in running if task.done()]
    for keeper in keepers:
        await keeper.stop(stopping.hurry)
    for task in (telling, asked):
        task.cancel()
    code = await _worst([*ended, *(task for task in running if task not in ended)])
    failures = (keeper.failure for keeper in keepers if keeper.failure and not keeper.ready.done())
    return Ended(code, next(failures, None) if code else None)


async def _tell(keepers: Sequence[Keeper], on_ready: Callable[[dict[str, dict[str, Any]]], None]) -> None:
    on_ready({keeper.part.kind: await keeper.ready for keeper in keepers})


async def _worst(running: Sequence["asyncio.Task[int]"]) -> int:
    """The first exit code that is not 0; one that waits to be started again is not any more."""
    for task in running:
        if not task.done():
            task.cancel()
    codes = await asyncio.gather(*running, return_exceptions=True)
    return next((code for code in codes if isinstance(code, int) and code), 0)


async def _hurried(process: Process, hurry: asyncio.Event) -> None:
    await hurry.wait()
    _signal(process, signal.SIGTERM)


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _document(line: bytes) -> dict[str, Any]:
    """What a daemon says of itself with `--json`, or nothing: a module may print something before that."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _write(data: bytes) -> None:
    with suppress(OSError):  # nobody reads it any more
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _as_exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _end_with_parent() -> None:
    """In the child, before it becomes another program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.setpgid(0, 0)
