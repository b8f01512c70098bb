"""Digits of pi: the sums of Bailey, Borwein and Plouffe give hexadecimal digits from any position on, without those before.

So the digits can be cut up and spread over a fleet. The later a digit, the longer it takes.
"""

from warren.task import task

DIGITS = 8
"""That one item gives; the sums are exact to some more."""
_EXTRA_BITS = 64


@task(timeout=600)
def digits(position: int) -> str:
    """Return the hexadecimal digits of pi's fraction from this position on, counted from 0."""
    bits = 4 * DIGITS + _EXTRA_BITS
    one = 1 << bits
    total = 4 * _series(1, position, bits) - 2 * _series(4, position, bits)
    total -= _series(5, position, bits) + _series(6, position, bits)
    return f"{(total % one) >> _EXTRA_BITS:0{DIGITS}x}"


@task
def join(parts: list[str]) -> str:
    """Put digits together, in the order of their positions; parts of the whole may be joined before, as long as they are neighbours."""
    return "".join(parts)


def _series(offset: int, position: int, bits: int) -> int:
    """The fraction of the sum over k of 16**(position - k) / (8k + offset), in units of 2**-bits."""
    total = 0
    for k in range(position + 1):
        below = 8 * k + offset
        total += (pow(16, position - k, below) << bits) // below
    k = position + 1
    while term := (1 << bits) // ((8 * k + offset) << (4 * (k - position))):
        total += term
        k += 1
    return total
