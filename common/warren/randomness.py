"""Random bytes from the kernel, fetched for many ids at once: one system call for each would cost more than encoding a job."""

import os

_SIZE = 10
_AT_ONCE = 256
_STORE: list[bytes] = []


def ten_bytes() -> bytes:
    """Return ten random bytes that nobody else is given: no other thread, and no process forked from this one."""
    while True:
        try:
            return _STORE.pop()
        except IndexError:
            fetched = os.urandom(_SIZE * _AT_ONCE)
            _STORE.extend(fetched[start : start + _SIZE] for start in range(0, len(fetched), _SIZE))


os.register_at_fork(after_in_child=_STORE.clear)
