"""The nursery: a small process without threads that starts pool processes, reaps them, and says how each one ended.

Theory of operation. Starting processes by fork is quick, but forking the worker itself, with its threads, locks and broker
sockets, is not safe; so it is done by this process, which has imported what a pool process needs and does nothing else.
User code runs here only if the modules have functions marked `warren_init`: what those make is there in all processes, once.
The worker asks for a process by sending a line of JSON and, beside it, the file descriptor of the process's socket. The
nursery is the processes' parent in the sense of the operating system: only it can wait for them, so it alone knows a
signal from an exit code and the peak memory, and only it can send a signal to a process id that cannot have been reused.

Nobody is left behind: when the worker goes, however it goes, its end of the control socket closes, and the nursery kills
all processes and ends. When the nursery goes, the kernel kills the processes (PR_SET_PDEATHSIG, prctl(2)).
Each process leads a process group, so that what a crashed job had started goes with it.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from typing import Any, NoReturn

import msgspec

from warren.worker import child
from warren.worker.initialising import HookFailed, Preparation
from warren.worker.setup import Setup

_PR_SET_PDEATHSIG = 1
_LINE_BYTES = 65536


class Nursery:
    """Starts and reaps processes at the worker's word."""

    def __init__(self, control: socket.socket, setup: Setup) -> None:
        self._control = control
        self._setup = setup
        self._pids: set[int] = set()
        self._buffer = b""
        self._fds: list[int] = []
        self._preparation = Preparation()

    def serve(self) -> None:
        """Do as the worker says until it is gone; then leave no process behind."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        with contextlib.suppress(ConnectionError):
            while True:
                readable, _, _ = select.select([self._control.fileno(), wake_read], [], [])
                if wake_read in readable:
                    os.read(wake_read, 4096)
                    self._reap()
                if self._control.fileno() in readable and not self._obey():
                    break
        for pid in self._pids:
            _kill_group(pid)
        self._preparation.end()

    def _obey(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, _LINE_BYTES, 64)
        self._fds += fds
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self._start(order["start"], self._fds.pop(0))
            elif "prepare" in order:
                self._setup = msgspec.structs.replace(self._setup, prepare=True)
            elif order["kill"] in self._pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(order["kill"], order["signal"])
        return bool(data)

    def _start(self, number: int, fd: int) -> None:
        try:
            if self._setup.prepare:
                self._preparation.complete(self._setup)
            pid = self._spawn(fd) if self._setup.start_method == "spawn" else self._fork(fd)
        except (OSError, HookFailed) as error:  # no memory, no process ids; or a function of the user's
            self._say(failed=number, error=str(error))
        else:
            self._pids.add(pid)
            self._say(started=number, pid=pid)
        finally:
            os.close(fd)

    def _fork(self, fd: int) -> int:
        pid = os.fork()
        if pid == 0:
            self._become_child(fd)
        return pid

    def _become_child(self, fd: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            settle_in()
            child.main(socket.socket(fileno=fd), self._setup)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may run the nursery's loop twice
            traceback.print_exc()
        finally:
            # Not sys.exit: the nursery's own cleanup is not ours to run.
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _spawn(self, fd: int) -> int:
        command = [sys.executable, "-m", child.__name__, str(fd), json.dumps(msgspec.to_builtins(self._setup))]
        return subprocess.Popen(command, pass_fds=[fd], preexec_fn=settle_in, stdin=subprocess.DEVNULL).pid  # noqa: PLW1509, S603

    def _reap(self) -> None:
        while self._pids:
            # Look before reaping: while the zombie is there, its process group's number cannot be anybody else's.
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return
            pid = found.si_pid
            _kill_group(pid)
            _, status, usage = os.wait4(pid, 0)
            if pid in self._pids:
                self._pids.discard(pid)
                self._say(exited=pid, status=os.waitstatus_to_exitcode(status), max_rss=usage.ru_maxrss * 1024)

    def _say(self, **news: Any) -> None:
        self._control.sendall(json.dumps(news).encode() + b"\n")


def settle_in() -> None:
    """Make this process what a pool process is for the kernel: leader of its group, dead when the nursery is, without input."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Run a nursery on the control socket whose descriptor is the first argument."""
    setup = msgspec.convert(json.loads(arguments[1]), Setup)
    gc.freeze()  # else a process's first full collection writes to every page that it shares with the others
    Nursery(socket.socket(fileno=int(arguments[0])), setup).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
