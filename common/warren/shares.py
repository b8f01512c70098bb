"""The queues a worker serves, as they are written in settings: `critical=6`, or a name alone for a weight of 1. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from warren.errors import InvalidName
from warren.topology import check_name

_MOST = 1000
_SIGN = "="
"""No queue has it in its name."""


class Share(msgspec.Struct, frozen=True):
    """A queue and its weight among those of one worker."""

    queue: str
    weight: int = 1


def shares(texts: Sequence[str]) -> tuple[Share, ...]:
    """Return what `problems` has found nothing against."""
    parts = (text.partition(_SIGN) for text in texts)
    return tuple(Share(name, int(weight) if sign else 1) for name, sign, weight in parts)


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the queues' names alone, in their order."""
    return tuple(text.partition(_SIGN)[0] for text in texts)


def problems(texts: Sequence[str], *, strict: bool) -> Iterator[str]:
    """Return what is wrong with queues as they are written.

    Args:
        texts: in the order of precedence, if that counts.
        strict: whether it does, and weights do not.
    """
    if not texts:
        yield "setting 'queues' is empty; name at least one queue"
    seen = set[str]()
    for text in texts:
        name, sign, weight = text.partition(_SIGN)
        try:
            check_name(name, "queue")
        except InvalidName as error:
            yield str(error)
            continue
        if name in seen:
            yield f"queue {name!r} is named twice; name it once, and for more of the jobs give it a weight: '{name}=2'"
        seen.add(name)
        if sign and strict:
            yield f"queue {text!r} has a weight, and with 'strict' the order of the queues counts; leave out one of the two"
        elif sign and not (weight.isdecimal() and weight.isascii() and 1 <= int(weight) <= _MOST):
            yield f"queue {text!r} has the weight {weight!r}; take a whole number from 1 to {_MOST}"
