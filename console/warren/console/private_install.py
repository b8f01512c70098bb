"""Where a private RabbitMQ comes from: the server on this machine, the distribution's package, or Docker's image."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warren.errors import WarrenError

Say = Callable[[str], None]
"""Takes one line for a human."""

PACKAGE = "rabbitmq-server"
IMAGE = "rabbitmq:4-management"
TOOLS = Path("/usr/lib/rabbitmq/bin")
"""Debian's tools as they are; those in /usr/sbin insist on the user rabbitmq."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_MARK = "made by warren while it installs rabbitmq-server"


class NoBrokerAvailable(WarrenError):
    """There is no RabbitMQ here and none can be had."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"no RabbitMQ to start: {why}. Install rabbitmq-server (on Debian: sudo apt-get install rabbitmq-server), "
            "or start Docker, or set WARREN_URL to a broker of yours (amqp://user:password@host:5672/)"
        )
        self.why = why


@dataclass(frozen=True, slots=True)
class Server:
    """An installed server: the folder of its tools, seen from inside `root` when it lies in a chroot folder."""

    tools: Path = TOOLS
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A server in a Docker image."""

    name: str = IMAGE


Source = Server | Image


def run(*command: str | Path, env: Mapping[str, str] | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said; `text` is its input."""
    return subprocess.run(  # noqa: S603 - no shell, our own commands
        command, check=False, capture_output=True, encoding="utf-8", errors="replace", env=env, input=text
    )


def find_server() -> Path | None:
    """Return the folder of rabbitmq-server and its tools, or None."""
    if (TOOLS / "rabbitmq-server").exists():
        return TOOLS
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve().parent if found else None


def find_apt() -> tuple[str, ...] | None:
    """Return the words before an apt-get command (none for root, sudo for others), or None where it cannot be run."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ()
    sudo = ("sudo", "-n")
    return sudo if shutil.which("sudo") and run(*sudo, "true").returncode == 0 else None


def docker_answers() -> bool:
    """Tell whether there is a Docker engine behind the command."""
    return bool(shutil.which("docker")) and run("docker", "info").returncode == 0


def install_package(before: tuple[str, ...], say: Say) -> None:
    """Install the distribution's rabbitmq-server and leave its service off.

    Raises:
        NoBrokerAvailable: apt-get failed.
    """
    say(
        f"no RabbitMQ on this machine: apt-get installs the package {PACKAGE} now; "
        "its service stays off, because Warren starts nodes of its own"
    )
    services = [PACKAGE] if shutil.which("epmd") else [PACKAGE, "epmd.socket", "epmd.service"]
    with _no_service_starts(before):
        apt_install(before, PACKAGE)
    _switch_off(before, services)


@dataclass(frozen=True, slots=True)
class Probes:
    """How `ensure_installed` looks at the machine, and the one thing it does to it."""

    find_server: Callable[[], Path | None] = find_server
    find_apt: Callable[[], tuple[str, ...] | None] = find_apt
    install: Callable[[tuple[str, ...], Say], None] = install_package
    docker_answers: Callable[[], bool] = docker_answers


def ensure_installed(say: Say, probes: Probes | None = None) -> Source:
    """Return where to take RabbitMQ from, installing the distribution's package if that is the way.

    Raises:
        NoBrokerAvailable: there is none and no way to get one, or installing it failed.
    """
    look = probes or Probes()
    with one_at_a_time(default_cache() / "install.lock"):  # half an installation looks like a whole one
        tools = look.find_server()
        if tools is None and (before := look.find_apt()) is not None:
            look.install(before, say)
            tools = look.find_server()
    if tools is not None:
        return Server(tools)
    if look.docker_answers():
        say(f"no RabbitMQ on this machine: Docker runs {IMAGE}")
        return Image()
    raise NoBrokerAvailable(
        "rabbitmq-server is not installed, apt-get is missing or needs a password, and no Docker engine answers"
    )


def default_cache() -> Path:
    """Return the folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "warren"


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here with the same lock file.

    Raises:
        NoBrokerAvailable: the lock file cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise NoBrokerAvailable(
            f"{lock} cannot be written ({error.strerror}); XDG_CACHE_HOME chooses another place"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def apt_install(before: tuple[str, ...], *packages: str) -> None:
    """Install packages; refresh apt's lists only if it does not work without.

    Raises:
        NoBrokerAvailable: apt-get failed, with its last words.
    """
    # env, because sudo drops our environment. The lock may be held by another run that installs the same.
    apt = (*before, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300")
    install = (*apt, "install", "--yes", "--no-install-recommends", *packages)
    done = run(*install)
    if done.returncode:
        run(*apt, "update")
        done = run(*install)
    if done.returncode:
        raise NoBrokerAvailable(f"apt-get could not install {', '.join(packages)} ({last_line(done)})")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line a failed command said, for an error message."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


@contextmanager
def _no_service_starts(before: tuple[str, ...]) -> Iterator[None]:
    # A policy that is not ours is the administrator's word. One of ours is left over from a run that was killed.
    if _POLICY.exists() and _POLICY_MARK not in _POLICY.read_text(errors="replace"):
        yield
        return
    run(*before, "tee", _POLICY, text=f"#!/bin/sh\n# {_POLICY_MARK}\nexit 101\n")
    run(*before, "chmod", "755", _POLICY)
    try:
        yield
    finally:
        run(*before, "rm", "-f", _POLICY)


def _switch_off(before: tuple[str, ...], services: list[str]) -> None:
    if Path("/run/systemd/system").is_dir():
        run(*before, "systemctl", "disable", "--now", *services)
        return
    if shutil.which("update-rc.d"):
        run(*before, "update-rc.d", PACKAGE, "disable")
    if any(_owner_of(entry) == "rabbitmq" for entry in Path("/proc").glob("[0-9]*")):
        run(*before, f"/etc/init.d/{PACKAGE}", "stop")


def _owner_of(process: Path) -> str:
    try:
        return process.owner()
    except (OSError, KeyError):  # it has ended, or its user has no name
        return ""
