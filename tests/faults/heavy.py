"""Tasks that take memory, as a test tells them."""

import ctypes
import mmap
import time
from pathlib import Path

from warren.task import task

MIB = 1024 * 1024
_KEPT: list[bytes] = []


def _wait_for(gate: str) -> None:
    while gate and not Path(gate).exists():
        time.sleep(0.01)


@task
def keep(mebibytes: int) -> int:
    """As a leak: what is taken stays."""
    _KEPT.extend(b"x" * MIB for _ in range(mebibytes))
    return len(_KEPT)


@task(max_crashes=1)
def take_at_once(mebibytes: int) -> int:
    """As quickly as Python can; never gives it back."""
    taken = bytearray(mebibytes * MIB)
    time.sleep(600)
    return len(taken)


@task(max_crashes=1)
def take_for_ever() -> None:
    """Swallows everything that could stop it."""
    taken: list[bytes] = []
    while True:
        try:
            taken.append(b"x" * 4 * MIB)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@task(max_crashes=1)
def take_in_c() -> None:
    """Memory that Python's allocator knows nothing of."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        found = libc.malloc(ctypes.c_size_t(4 * MIB))
        if found:
            ctypes.memset(found, 1, 4 * MIB)


@task
def read_shared(path: str, until: str = "") -> int:
    """Map a file and touch all of it: resident, and not the process's own."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        total = sum(mapped[place] for place in range(0, len(mapped), mmap.PAGESIZE))
        _wait_for(until)
    return total
