"""RabbitMQ of a chosen version: Debian's suite that has it, in a folder of its own, when this machine does not."""

import os
import platform
import shutil
from pathlib import Path

from warren.console.private_install import (
    PACKAGE,
    NoBrokerAvailable,
    Say,
    apt_install,
    default_cache,
    ensure_installed,
    find_apt,
    last_line,
    one_at_a_time,
    run,
)

SUITES = {"3.10": "bookworm", "4.3": "forky"}
"""The versions that Warren is tested with, and Debian's suites that have them."""

_SCRIPTS = Path("/usr/share/debootstrap/scripts")


def version_root(version: str, say: Say, cache: Path | None = None) -> Path | None:
    """Make sure that this version of RabbitMQ is installed; return its root folder, or None when it is this machine's.

    Args:
        version: a key of `SUITES`.
        say: takes the lines a human should read.
        cache: where the folders are kept, by default `$XDG_CACHE_HOME/warren` or `~/.cache/warren`.

    Raises:
        NoBrokerAvailable: unknown version, or it cannot be installed by this user on this machine.
    """
    if version not in SUITES:
        raise NoBrokerAvailable(f"unknown version {version!r}, the ones to choose from are {', '.join(SUITES)}")
    if _has(Path("/"), version):
        return None
    if _suite_of_machine() == SUITES[version] and not _has(Path("/")):
        ensure_installed(say)
        return None
    return _suite_folder(version, cache or default_cache(), say)


def _has(root: Path, version: str = "") -> bool:
    """Tell whether a Debian system has RabbitMQ, of this version if one is given."""
    return any((root / "usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-{version}*"))


def _suite_of_machine() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def _suite_folder(version: str, cache: Path, say: Say) -> Path:
    if os.geteuid() != 0:
        raise NoBrokerAvailable(f"RabbitMQ {version} runs in a chroot here, which takes root: run this as root")
    root = cache / f"rabbitmq-{version}"
    with one_at_a_time(cache / f"rabbitmq-{version}.lock"):
        if not _has(root, version):
            _build(version, root, say)
        _keep_up(Path("/etc/hosts"), root / "etc/hosts")
    return root


def _keep_up(ours: Path, copy: Path) -> None:
    # Left alone while it is right: another node may be reading it.
    if not copy.exists() or copy.read_bytes() != ours.read_bytes():
        shutil.copyfile(ours, copy)


def _build(version: str, root: Path, say: Say) -> None:
    suite = SUITES[version]
    say(f"RabbitMQ {version}: debootstrap puts Debian's {suite} with it into {root} (about 400 MB, a minute)")
    if not shutil.which("debootstrap"):
        before = find_apt()
        if before is None:
            raise NoBrokerAvailable(f"debootstrap is needed for RabbitMQ {version} and cannot be installed here")
        apt_install(before, "debootstrap")
    # Built beside and renamed: a folder of this name is complete, whatever was interrupted.
    unfinished = root.with_name(f"{root.name}.unfinished")
    for folder in (unfinished, root):
        _remove(folder)
    # Debootstrap of an older Debian does not know newer suites; sid's script is the one that they all use.
    script = _SCRIPTS / suite if (_SCRIPTS / suite).exists() else _SCRIPTS / "sid"
    options = ("--variant=minbase", f"--include={PACKAGE}")
    done = run("debootstrap", *options, suite, unfinished, _mirror(), script)
    if done.returncode or not _has(unfinished, version):
        log = unfinished / "debootstrap/debootstrap.log"
        raise NoBrokerAvailable(f"debootstrap of {suite} failed ({last_line(done)}; log: {log})")
    _unmount_below(unfinished)
    unfinished.rename(root)


def _mirror() -> str:
    """Return the Debian mirror that apt uses."""
    command = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    said = run(*command).stdout
    if not said.strip():  # apt knows its targets only once it has lists
        run("apt-get", "update")
        said = run(*command).stdout
    mirrors = [line for line in said.splitlines() if line.startswith("http") and "security" not in line]
    if not mirrors:
        raise NoBrokerAvailable("apt-get uses no Debian mirror here from which debootstrap could take packages")
    return mirrors[0]


def _remove(folder: Path) -> None:
    """Remove a root folder, after whatever is still mounted in it: /dev through it would be the machine's own."""
    _unmount_below(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _unmount_below(folder: Path) -> None:
    below = f"{folder}/"
    for _ in range(2):
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        mounted = [mount for mount in mounts if mount.startswith(below)]
        for mount in reversed(mounted):
            run("umount", mount)
    if mounted:
        raise NoBrokerAvailable(f"{mounted[0]} is mounted and cannot be unmounted: umount it, then run this again")
