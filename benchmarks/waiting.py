"""Waiting for a condition of another process, which can only be looked at."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.004
"""Fine against what is measured, and under 1 % of a processor."""


class NotInTime(Exception):
    """What was waited for did not come true."""


def wait_until(condition: Callable[[], bool], seconds: float, what: str, poll: float = POLL_SECONDS) -> None:
    """Look until a condition is true.

    Raises:
        NotInTime: it was not, for so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {seconds:g} s")
        time.sleep(poll)


def wait_until_still(value: Callable[[], float], change: float, seconds: float, what: str, pause: float = 0.5) -> float:
    """Read a value until it changes by no more than so much from one reading to the next; return it.

    Raises:
        NotInTime: it went on changing.
    """
    last = value()

    def still() -> bool:
        nonlocal last
        before, last = last, value()
        return abs(last - before) <= change

    time.sleep(pause)
    wait_until(still, seconds, what, pause)
    return last
