"""Whether the kernel's out-of-memory killer has ended a process: its control group counts those kills.

Parsing is pure; where the files cannot be read, nothing is known and nothing is said.
"""

import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

_FRESH_SECONDS = 2.0
"""A kill that no process of ours was found to have died of by then has hit something else."""


def counter_files(groups: str, mounts: str) -> tuple[Path, ...]:
    """Return where this process's control group may count kills: of version 2, then of version 1.

    Args:
        groups: what /proc/self/cgroup says.
        mounts: what /proc/self/mountinfo says.
    """
    unified, memory = _groups(groups)
    found = []
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or not kind:  # noqa: PLR2004 - see proc(5)
            continue
        root, point = fields[3], _unescaped(fields[4])
        if kind[0] == "cgroup2" and unified is not None:
            found.append((0, _below(point, root, unified) / "memory.events"))
        elif kind[0] == "cgroup" and memory is not None and "memory" in kind[-1].split(","):
            found.append((1, _below(point, root, memory) / "memory.oom_control"))
    return tuple(path for _, path in sorted(found))


def kills(text: str) -> int | None:
    """Return how many processes were killed, from what such a file says; None when it does not say."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


class OomWatch:
    """Compares the counter with what it was. Only touched from the loop.

    Args:
        read: returns the counter, or None where it cannot be had.
        now: the monotonic clock.
    """

    def __init__(self, read: Callable[[], int | None], now: Callable[[], float] = time.monotonic) -> None:
        self._read, self._now = read, now
        self._seen = read()
        self._unclaimed: deque[float] = deque()
        """When kills were seen of which no process is known to have died."""

    def did_it(self, number: int | None, *, ours: bool) -> bool | None:
        """Tell whether a process that has just ended was killed by it; None when that cannot be known.

        Args:
            number: the signal that ended the process.
            ours: whether we sent that.
        """
        count, now = self._read(), self._now()
        if count is None or self._seen is None:
            self._seen = count
            return None
        self._unclaimed.extend([now] * (count - self._seen))
        self._seen = count
        while self._unclaimed and self._unclaimed[0] < now - _FRESH_SECONDS:
            self._unclaimed.popleft()
        if ours or number != signal.SIGKILL or not self._unclaimed:
            return False
        self._unclaimed.popleft()
        return True


def own_counter() -> Callable[[], int | None]:
    """Return what reads the counter of this process's control group; the first file that has one is used."""
    files: tuple[Path, ...] = ()
    groups, mounts = _text(Path("/proc/self/cgroup")), _text(Path("/proc/self/mountinfo"))
    if groups is not None and mounts is not None:
        files = counter_files(groups, mounts)
    used = next((file for file in files if kills(_text(file) or "") is not None), None)
    return lambda: kills(_text(used) or "") if used is not None else None


def _groups(text: str) -> tuple[str | None, str | None]:
    """The group of version 2, and that of version 1's memory controller."""
    unified = memory = None
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            unified = path
        elif "memory" in controllers.split(","):
            memory = path
    return unified, memory


def _below(point: str, root: str, group: str) -> Path:
    """The group's folder: a container often has only its own part of the tree mounted."""
    inside = group.removeprefix(root) if root != "/" else group
    return Path(point) / inside.lstrip("/")


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ")


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
