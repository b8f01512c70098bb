"""Which way a delayed job takes through the levels: pure arithmetic over `topology.delays`."""

import math

from warren.errors import UsageError
from warren.topology import DELAY_LEVELS, DELAY_UNIT_MS, Names

MAX_DELAY_SECONDS = 366 * 24 * 3600.0
_KEPT_BITS = 10
"""A long delay keeps its top ten bits, rounded up (by less than 0.2 %): each 1 bit is a hop, and costs milliseconds and history."""


class DelayTooLong(UsageError):
    """More than a year ahead."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"a delay of {seconds:,.0f} s is more than a year ({MAX_DELAY_SECONDS:,.0f} s); use a schedule for that"
        )
        self.seconds = seconds


def check(seconds: float) -> None:
    """Refuse what cannot be waited for.

    Raises:
        DelayTooLong: see `MAX_DELAY_SECONDS`.
    """
    if seconds > MAX_DELAY_SECONDS or math.isnan(seconds):
        raise DelayTooLong(seconds)


def ticks(seconds: float) -> int:
    """Return the units to wait: never fewer than asked for, at least one."""
    units = max(1, math.ceil(seconds * 1000 / DELAY_UNIT_MS - 1e-6))
    surplus = max(0, units.bit_length() - _KEPT_BITS)
    return -(-units >> surplus) << surplus


def route(names: Names, queue: str, seconds: float) -> tuple[str, str]:
    """Return the exchange and routing key that bring a job to `queue` after `seconds`.

    Raises:
        DelayTooLong: see `MAX_DELAY_SECONDS`.
    """
    check(seconds)
    units = ticks(seconds)
    digits = ".".join(f"{units:0{DELAY_LEVELS}b}")
    return names.delay(units.bit_length() - 1), f"{digits}.{queue}"
