"""Files in memory, to be shared by their descriptors: nothing of them is on a disk."""

import os
import tempfile


def memory_file(name: str, size: int) -> int:
    """Return the descriptor of a new one, filled with zeros.

    Args:
        name: for whoever looks into /proc.
        size: bytes.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
