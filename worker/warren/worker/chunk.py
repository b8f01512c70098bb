"""What the items of a chunk came to, and the pieces in which it is told: pure."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from warren.outcome import Outcome
from warren.result import ItemFailure

_PART_BYTES = 1_000_000


@dataclass(slots=True)
class Outcomes:
    """What the items of a chunk came to.

    Attributes:
        done: the values of those that are done, by place: members of a JSON object, each with a comma after it. They go as they are
            from the process that made them to the producer; nobody between them looks at single ones.
        others: the outcomes of the rest, by place.
        cancelled_for: why the chunk was cancelled, if it was.
    """

    done: list[bytes] = field(default_factory=list)
    others: dict[int, Outcome] = field(default_factory=dict)
    cancelled_for: str = ""


def member(place: int, value: bytes) -> bytes:
    """Return an item's value as a member."""
    return b'"%d":%b,' % (place, value)


def opened(members: bytes) -> dict[int, msgspec.Raw]:
    """Return the values of members, by place."""
    return _VALUES.decode(b"{%b}" % members[:-1])


def in_parts(
    done: Iterable[bytes], failed: Mapping[int, ItemFailure]
) -> Iterator[tuple[bytes, dict[int, ItemFailure]]]:
    """Cut values and failures into parts of a size every broker takes, at least one; the values as a JSON object."""
    items: list[bytes] = []
    others: dict[int, ItemFailure] = {}
    size = 0
    pieces: Iterable[tuple[int, bytes, dict[int, ItemFailure]]] = itertools.chain(
        ((len(members), members, {}) for members in done),
        ((4 * (len(one.error) + len(one.traceback)) + 100, b"", {place: one}) for place, one in failed.items()),
    )
    for more, members, failures in pieces:
        if size and size + more > _PART_BYTES:
            yield b"{%b}" % b"".join(items)[:-1], others
            items, others, size = [], {}, 0
        items.append(members)
        others |= failures
        size += more
    yield b"{%b}" % b"".join(items)[:-1], others


_VALUES = msgspec.json.Decoder(dict[int, msgspec.Raw])
