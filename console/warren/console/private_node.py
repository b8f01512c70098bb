"""One RabbitMQ node and its epmd as processes of our own, on this machine or inside a chroot folder."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from warren.console.private_guard import MARK, end_all, read_pid, send
from warren.console.private_identity import Identity
from warren.console.private_install import Server, run
from warren.errors import WarrenError

_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
# Schedulers that are bound to cores would all be bound to the same ones, with several nodes on one machine.
_ERL_ARGS = "-noinput +stbt u +S 2:2 -kernel inet_dist_use_interface {127,0,0,1}"
# The mounts live in a namespace of the process: nothing stays mounted, and nobody can delete /dev through the folder.
_ENTER = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
_RAISE_FILE_LIMIT = 'ulimit -Sn 65536 2>/dev/null || ulimit -Sn "$(ulimit -Hn)"; exec "$@"'


class BrokerCommandFailed(WarrenError):
    """rabbitmqctl said no."""


class Node:
    """The processes of a private broker in `folder`; every process is found by the mark in its environment."""

    def __init__(self, server: Server, folder: Path, identity: Identity) -> None:
        self._server, self._folder, self._identity = server, folder, identity
        self._inside = Path("/", folder.relative_to(server.root)) if server.root else folder
        # None where another process started it; then its pid file says who it is.
        self._vm: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self._folder / "log" / "node.log"

    @property
    def pid(self) -> int | None:
        if self._vm is not None and self._vm.poll() is None:
            return self._vm.pid
        return read_pid(self._folder)

    def start(self) -> None:
        """Start epmd and the node; it is up some seconds later."""
        self._write_files()
        epmd_port = self._identity.ports.epmd
        if not _answers(epmd_port):
            self._epmd = self._spawn("epmd", "-address", "127.0.0.1", "-port", str(epmd_port))
            wait_until(lambda: _answers(epmd_port), 10.0)
        self._vm = self._spawn("sh", "-c", _RAISE_FILE_LIMIT, "sh", str(self._server.tools / "rabbitmq-server"))
        (self._folder / "pid").write_text(f"{self._vm.pid}\n")

    def stop(self) -> None:
        """Shut the node down in order, then end everything of ours.

        RabbitMQ 3.10 takes 6 seconds: its management plugin waits 5 for an answer that cannot come any more.
        """
        self._signal(signal.SIGCONT, signal.SIGTERM)
        wait_until(lambda: self.pid is None, _STOP_SECONDS)
        self.end()

    def end(self) -> None:
        """Kill whatever runs of this broker."""
        self.kill()
        end_all(self._folder)
        if self._epmd is not None:
            self._epmd.wait()
        (self._folder / "pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the Erlang VM with SIGKILL and wait until it is gone."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: self.pid is None, _STOP_SECONDS)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node.

        Raises:
            BrokerCommandFailed: with what rabbitmqctl said.
        """
        tool = str(self._server.tools / "rabbitmqctl")
        done = run(*self._enter(tool, *arguments), env=self._environment())
        if done.returncode:
            raise BrokerCommandFailed(f"rabbitmqctl {' '.join(arguments)} failed: {done.stderr.strip()[:2000]}")
        return done.stdout

    def _signal(self, *numbers: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            for number in numbers:
                send(pid, number)

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - no shell, our own commands
                self._enter(*command),
                env=self._environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for our parent, which stops the node in order.
                start_new_session=True,
            )

    def _enter(self, *command: str) -> tuple[str, ...]:
        root = self._server.root
        return ("unshare", "--mount", "sh", "-c", _ENTER, str(root), *command) if root else command

    def _environment(self) -> dict[str, str]:
        here, name = self._inside, f"{self._identity.name}@localhost"
        system_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        path = system_path if self._server.root else f"{os.environ.get('PATH', '')}:{system_path}"
        return {
            MARK: str(self._folder),
            "PATH": path,
            "LANG": "C.UTF-8",
            "HOME": str(here),  # where Erlang looks for its cookie
            "ERL_EPMD_PORT": str(self._identity.ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_DIST_PORT": str(self._identity.ports.distribution),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(here / "no-more-conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(here / "data"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(here / "rabbitmq.pid"),
            # With this the start script becomes the Erlang VM instead of waiting for it: one process, one pid.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERL_ARGS,
        }

    def _write_files(self) -> None:
        for name in ("data", "log"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(16))
            cookie.chmod(0o400)
        ports = self._identity.ports
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management, rabbitmq_prometheus].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.private = 127.0.0.1:{ports.amqp}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {ports.management}\n"
            f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {ports.prometheus}\n"
            # What `warren queues` shows is as old as this; five seconds, the default, is long for one who watches.
            "collect_statistics_interval = 1000\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
        )


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it is true or the time is over; return which of the two."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return met


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
