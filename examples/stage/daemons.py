"""Daemons for an example, started as an operator would: `warren worker …`, `warren scheduler …`, each a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from examples.stage.telling import console

from warren.console.cli import run
from warren.errors import WarrenError
from warren.settings import Settings, variables

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 45.0


class DaemonFailed(Exception):
    """A daemon did not start, or ended on its own; the end of its log is in the message."""


@dataclass(slots=True)
class Daemon:
    """One `warren …` process; its log goes to a file, one JSON object a line, and what it prints to another."""

    kind: str
    program: subprocess.Popen[bytes]
    log: Path
    printed: Path

    def wait_until_ready(self) -> None:
        """Wait for what `--json` has it print then."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self.printed.read_bytes().endswith(b"\n"):
            if self.program.poll() is not None or time.monotonic() > deadline:
                raise DaemonFailed(f"the {self.kind} did not become ready; its log ends with\n{self.log_tail()}")
            time.sleep(0.02)

    @property
    def metrics_url(self) -> str:
        """Where its metrics are, once it is ready."""
        address = str(json.loads(self.printed.read_bytes())["http"])
        return f"http://127.0.0.1:{address.rpartition(':')[2]}/metrics"

    def check(self) -> None:
        """Raise when it has ended."""
        if self.program.poll() is not None:
            raise DaemonFailed(f"the {self.kind} ended by itself; its log ends with\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def daemons(
    settings: Settings, *commands: tuple[str, ...], logs: Path, environ: Mapping[str, str] | None = None
) -> Iterator[list[Daemon]]:
    """Run `warren COMMAND`s; leaving the block stops them: SIGTERM, and SIGKILL only for one that does not go."""
    team = [
        _start(settings, command, logs / f"{place}-{command[0]}", environ) for place, command in enumerate(commands)
    ]
    try:
        for daemon in team:
            daemon.wait_until_ready()
        yield team
    finally:
        for daemon in team:
            daemon.program.terminate()
        for daemon in team:
            with suppress(subprocess.TimeoutExpired):
                daemon.program.wait(_STOP_SECONDS)
            daemon.program.kill()
            daemon.program.wait()


def guarded(demo: Callable[[], int]) -> int:
    """Run a demo and return its exit code: 130 for Ctrl-C, 1 with a line for what a human can do something about."""
    try:
        return demo()
    except KeyboardInterrupt:
        console.print("interrupted; everything the demo had started is stopped")
        return 130
    except (WarrenError, DaemonFailed) as error:
        console.print(f"the demo failed: {error}", markup=False)
        return 1


def _start(settings: Settings, command: tuple[str, ...], files: Path, environ: Mapping[str, str] | None) -> Daemon:
    log, printed = files.with_suffix(".log"), files.with_suffix(".json")
    with log.open("wb") as told, printed.open("wb") as said:
        program = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "warren", *command, "--http-port", "0", "--json"],
            env={**variables(settings), **(environ or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=told,
        )
    return Daemon(command[0], program, log, printed)


def warren(settings: Settings, *arguments: str) -> None:
    """Run a command that looks into the store, here, so that it sees the terminal that there is.

    Raises:
        DaemonFailed: it ended with another exit code than 0.
    """
    console.print(f"$ warren {' '.join(arguments)}", markup=False)
    where = ("--url", settings.url, "--namespace", settings.namespace, "--store", settings.store)
    if code := run([*arguments, *where]):
        raise DaemonFailed(f"`warren {' '.join(arguments)}` ended with {code}")
    console.print()


def until(condition: Callable[[], T], what: str, *watched: Daemon, seconds: float = 60.0) -> T:
    """Ask until the answer is true, and return it, while these daemons run.

    Raises:
        DaemonFailed: it does not become true, or one of them has ended.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        for daemon in watched:
            daemon.check()
        if time.monotonic() > deadline:
            raise DaemonFailed(f"{what} did not happen in {seconds:.0f} s")
        time.sleep(0.05)
    return answer
