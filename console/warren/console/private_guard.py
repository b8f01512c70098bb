"""The guard of one private broker: when its parent is gone, however it went, it ends what the parent left running.

Run by file name, on the standard library alone: `python private_guard.py PARENT FOLDER stop|remove [CONTAINER]`.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "WARREN_PRIVATE_BROKER"
"""Every process of a private broker carries this variable; its value is the broker's folder."""

_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_EMPTY_LOOKS = 2


def processes_of(folder: Path) -> list[int]:
    """Return the live processes of the private broker that lives in this folder."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_of(folder, entry.name)]


def is_of(folder: Path, pid: int | str) -> bool:
    """Tell whether this process lives and belongs to the private broker in this folder."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARK}={folder}".encode() in variables


def read_pid(folder: Path) -> int | None:
    """Return the pid in this folder's pid file if that process is the broker's; a stale number may be anybody's."""
    try:
        pid = int((folder / "pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if is_of(folder, pid) else None


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end_all(folder: Path) -> None:
    """Kill every process of this folder's broker, until there is none."""
    empty_looks = 0
    # More than one, because a process shows no environment for a moment while it turns into another program.
    while empty_looks < _EMPTY_LOOKS:
        found = processes_of(folder)
        empty_looks = 0 if found else empty_looks + 1
        for pid in found:
            send(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _wait_for_end_of(parent: int) -> None:
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    except OSError:  # a kernel without pidfds
        while os.getppid() == parent:
            time.sleep(0.5)
        return
    if os.getppid() == parent:  # else it ended, and the number was given away, before we held on to it
        select.select([handle], [], [])


def _stop_server(folder: Path) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    pid = read_pid(folder)
    if pid is not None:
        send(pid, signal.SIGCONT)
        send(pid, signal.SIGTERM)
        while is_of(folder, pid) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _end_container(name: str, how: str) -> None:
    _docker("stop" if how == "stop" else "kill", name)
    _docker("rm", "--force", name)
    if how == "remove":
        _docker("volume", "rm", name)


def _docker(*words: str) -> None:
    """Run a docker command whose failure means that there was nothing to do."""
    subprocess.run(["docker", *words], check=False, capture_output=True)  # noqa: S603, S607 - as found in PATH


def _main(parent: str, folder_name: str, how: str, *container: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(folder_name)
    _wait_for_end_of(int(parent))
    for name in container:
        _end_container(name, how)
    if how == "stop":
        _stop_server(folder)
    end_all(folder)
    if how == "remove":
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
