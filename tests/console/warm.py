"""Commands without the time that it takes to import libraries: a process that has them forks for each, and the fork is `python -m warren`.

Only what is not Warren's is imported beforehand, so a command still imports all that it needs of ours.
"""

import array
import atexit
import functools
import importlib
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
_LIBRARIES = ("click", "rich.console", "rich.table", "structlog", "msgspec", "pika", "prometheus_client", "tenacity")
_SECONDS = 120
_WORD = 16


class Warm:
    """The process that forks; it ends with us."""

    def __init__(self) -> None:
        self._channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.console.warm", str(its.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
        its.close()
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], stdin: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run `warren …` to its end."""
        with tempfile.TemporaryFile() as order, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            order.write(json.dumps([list(arguments), dict(environ), stdin]).encode())
            order.flush()
            mine, its = socket.socketpair()
            with mine, its:
                fds = [order.fileno(), out.fileno(), error.fileno(), its.fileno()]
                socket.send_fds(self._channel, [b"!"], fds)
                its.close()
                code = self._answer(mine, arguments)
            texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, error)]
        return subprocess.CompletedProcess(["warren", *arguments], code, *texts)

    def close(self) -> None:
        """Let the process end."""
        self._channel.close()
        self._process.wait()

    def _answer(self, mine: socket.socket, arguments: Sequence[str]) -> int:
        ready, _, _ = select.select([mine], [], [], _SECONDS)
        if not ready:
            raise subprocess.TimeoutExpired(["warren", *arguments], _SECONDS)
        return int(mine.recv(_WORD))


@functools.cache
def warm() -> Warm:
    """Return this process's own."""
    return Warm()


def _serve(channel: socket.socket) -> None:
    """Fork for each order, until nobody can give one any more; returns in the fork that is to be the command."""
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 1, array.array("i").itemsize * 4)
        if not data:
            sys.exit()
        if os.fork() == 0:
            channel.close()
            _attend(*fds)
            return
        for fd in fds:
            os.close(fd)
        _reap()


def _attend(order: int, out: int, error: int, answer: int) -> None:
    """Tell what becomes of the command; returns in the process that is to be it."""
    command = os.fork()
    if command:
        _, status = os.waitpid(command, 0)
        os.write(answer, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(answer)
    arguments, environ, stdin = json.loads(os.pread(order, os.fstat(order).st_size, 0))
    _become(arguments, environ, stdin, out, error)


def _become(arguments: list[str], environ: dict[str, str], stdin: str | None, out: int, error: int) -> None:
    read = os.open(os.devnull, os.O_RDONLY)
    if stdin is not None:
        file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it is this process's input from here on
        file.write(stdin.encode())
        file.flush()
        file.seek(0)
        read = file.fileno()
    for number, fd in enumerate((read, out, error)):
        os.dup2(fd, number)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = arguments


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("warren", run_name="__main__", alter_sys=True)
