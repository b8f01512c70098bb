"""A private RabbitMQ for development and tests: own node name, own ports, own data, and gone with its owner.

It never touches the machine's default node. A guard process ends it when the process that started it is killed.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from warren.console import private_guard
from warren.console.private_container import Container
from warren.console.private_identity import Identity, identity_of, with_free_ports
from warren.console.private_install import Image, NoBrokerAvailable, Say, Server, Source, ensure_installed
from warren.console.private_node import BrokerCommandFailed, Node, wait_until
from warren.console.private_suite import version_root
from warren.errors import WarrenError

__all__ = [
    "BrokerCommandFailed",
    "BrokerDidNotStart",
    "NoBrokerAvailable",
    "PrivateBroker",
    "Server",
    "Source",
    "aloud",
    "ensure_installed",
    "private_broker",
    "version_root",
]

_START_SECONDS = 120.0
_FOLDER_IN_ROOT = Path("var/tmp/warren-rabbitmq")


class BrokerDidNotStart(WarrenError):
    """The private node is not up; the end of its log is in the message."""


class _Engine(Protocol):
    """What runs the broker: processes of ours, or a container."""

    @property
    def pid(self) -> int | None: ...
    @property
    def log_file(self) -> Path: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def end(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def ctl(self, *arguments: str) -> str: ...


class PrivateBroker:
    """One RabbitMQ node of our own, with the management and prometheus plugins.

    Args:
        source: where the server comes from, see `ensure_installed`.
        folder: keeps data, log and identity between uses (inside the root, if the source has one); by default a
            temporary folder that `close` removes.
        guarded: end the broker when this process ends without having done so.
    """

    def __init__(self, source: Source, folder: Path | None = None, *, guarded: bool = True) -> None:
        self._temporary = folder is None
        self.folder = _make_folder(source, folder)
        self._identity = identity_of(self.folder)
        self._engine = _engine(source, self.folder, self._identity)
        if self._engine.pid is None:
            self._identity = with_free_ports(self._identity, self.folder)
            self._engine = _engine(source, self.folder, self._identity)
        self._guarded = guarded
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._identity.ports.amqp}/"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self._identity.ports.management}"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self._identity.ports.prometheus}/metrics"

    @property
    def pid(self) -> int | None:
        """The Erlang VM's process; None when it does not run."""
        return self._engine.pid

    @property
    def log_file(self) -> Path:
        return self._engine.log_file

    def start(self) -> None:
        """Start the broker and return when it takes connections.

        Raises:
            BrokerDidNotStart: it runs already, it ended, or it was not up in time.
        """
        if (pid := self.pid) is not None:
            raise BrokerDidNotStart(f"the broker in {self.folder} is already running (pid {pid}): use it at {self.url}")
        if self._guarded and self._guard is None:
            how = "remove" if self._temporary else "stop"
            container = (self._identity.name,) if isinstance(self._engine, Container) else ()
            self._guard = _start_guard(self.folder, how, container)
        self._engine.start()
        if not _comes_up(self._engine, self._identity.ports.amqp):
            log = _tail(self.log_file)
            self.close()
            raise BrokerDidNotStart(f"RabbitMQ in {self.folder} did not start; its log ends with\n{log}")

    def stop(self) -> None:
        """Shut the broker down in order; its data stays, and `start` brings it back on the same ports."""
        self._engine.stop()

    def kill(self) -> None:
        """Kill the broker with SIGKILL and wait until it is gone."""
        self._engine.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): its connections stay open and nothing answers."""
        self._engine.pause()

    def resume(self) -> None:
        self._engine.resume()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this broker and return what it printed.

        Raises:
            BrokerCommandFailed: with what rabbitmqctl said.
        """
        return self._engine.ctl(*arguments)

    def close(self) -> None:
        """End the broker; a temporary folder goes with it, and there is no starting again."""
        if self._temporary:
            self._engine.end()
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self._engine.stop()
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard = None


def aloud(line: str) -> None:
    """Say one line to the human, on standard error."""
    sys.stderr.write(f"{line}\n")


@contextmanager
def private_broker(
    folder: Path | None = None, *, root: Path | None = None, say: Say = aloud
) -> Iterator[PrivateBroker]:
    """Run a private broker, installing RabbitMQ first if there is none.

    Args:
        folder: see `PrivateBroker`.
        root: a folder with another system in it, see `version_root`; without it the server of this machine.
        say: takes the lines a human should read.

    Raises:
        NoBrokerAvailable: there is no RabbitMQ and no way to get one.
        BrokerDidNotStart: with the end of its log.
    """
    broker = PrivateBroker(Server(root=root) if root else ensure_installed(say), folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def _make_folder(source: Source, folder: Path | None) -> Path:
    root = source.root if isinstance(source, Server) else None
    if folder is not None:
        folder = folder.absolute()
        if root is not None and not folder.is_relative_to(root):
            raise WarrenError(
                f"the broker in {root} cannot see {folder}: choose a folder below {root / _FOLDER_IN_ROOT}"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    parent = root / _FOLDER_IN_ROOT if root else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="warren-rabbitmq-", dir=parent))


def _engine(source: Source, folder: Path, identity: Identity) -> _Engine:
    if isinstance(source, Image):
        return Container(source, folder, identity)
    return Node(source, folder, identity)


def _start_guard(folder: Path, how: str, container: tuple[str, ...]) -> subprocess.Popen[bytes]:
    script = Path(private_guard.__file__)
    # Its own session, so that what is sent to our whole group leaves it alive to clean up.
    return subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-I", "-S", script, str(os.getpid()), folder, how, *container],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _comes_up(engine: _Engine, port: int) -> bool:
    """Wait until the port speaks AMQP and the node says that it is up: it does the one some time before the other."""
    wait_until(lambda: _speaks_amqp(port) or engine.pid is None, _START_SECONDS)
    if engine.pid is None or not _speaks_amqp(port):
        return False
    try:
        engine.ctl("await_startup", "--timeout", f"{_START_SECONDS:.0f}")
    except WarrenError:
        return False
    return True


def _speaks_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # a method frame: connection.start
    except OSError:
        return False


def _tail(file: Path, lines: int = 25) -> str:
    try:
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"
