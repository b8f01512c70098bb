"""How much memory there is for another process: what the control groups that this process is in allow, and have."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from warren.worker.memory import MIB
from warren.worker.oom import counter_files

_MOST = 0.9
"""Of a control group's limit; beyond that the kernel is near to killing."""


@dataclass(frozen=True, slots=True)
class Group:
    """One control group's memory, in bytes."""

    limit: int
    used: int


def groups() -> Iterable[Group]:
    """Yield every control group with a limit that this process is in, as far as that can be read."""
    try:
        mine = counter_files(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    except OSError:
        return
    for file in mine:
        if file.name == "memory.events":
            yield from _above(file.parent)


def _above(folder: Path) -> Iterable[Group]:
    while (folder / "cgroup.procs").exists():
        if (group := read(folder)) is not None:
            yield group
        folder = folder.parent


def read(folder: Path) -> Group | None:
    """Return what a folder of version 2 says; None without a limit. Files that were read and can be dropped do not count."""
    try:
        limit, used = (folder / "memory.max").read_text().strip(), int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else Group(int(limit), max(0, used - int(stat.get("inactive_file", 0))))


def too_little(more: int, found: Callable[[], Iterable[Group]] = groups) -> str:
    """Return why there is no room for so many more bytes; empty when there is, or nobody says."""
    for group in found():
        if group.used + more > _MOST * group.limit:
            return (
                f"{group.used / MIB:.0f} MiB of {group.limit / MIB:.0f} are used, and another process may take "
                f"{more / MIB:.0f}: that is over {_MOST:.0%} of what this worker's control group allows"
            )
    return ""
