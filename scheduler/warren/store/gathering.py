"""What a batch of facts tells, job by job, before anybody asks what is in the store: pure.

So it is made while the batch before is written, when whoever writes mostly waits for the database.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Fact, GivenBack, ItemsEnded
from warren.store.merging import Record, join, of, short, text

ITEMS_BYTES = 1_048_576
"""Of one part of a chunk, a little more than workers send together; of a longer one only that it was."""
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What facts tell together.

    Attributes:
        records: of each job what is known by them.
        attempts: rows of `warren_attempts`, each once; the first value is the job's id.
        items: rows of `warren_items`, likewise.
    """

    records: Mapping[str, Record]
    attempts: Sequence[Row]
    items: Sequence[Row]


@dataclass(slots=True)
class Gathering:
    """Facts that are being gathered."""

    _records: dict[str, Record] = field(default_factory=dict)
    _attempts: dict[Row, None] = field(default_factory=dict)
    _items: dict[Row, None] = field(default_factory=dict)

    def add(self, facts: Sequence[Fact]) -> None:
        """Take facts; none of them when one has what cannot be written at all."""
        told = [of(fact) for fact in facts]
        attempts = [row for fact in facts if (row := _attempt(fact)) is not None]
        items = [_part(fact) for fact in facts if isinstance(fact, ItemsEnded | Ended) and (fact.items or fact.failed)]
        records = self._records
        for one in told:
            before = records.get(one.id)
            records[one.id] = one if before is None else join(before, one)
        self._attempts |= dict.fromkeys(attempts)
        self._items |= dict.fromkeys(items)

    def gathered(self) -> Gathered:
        """Return what it came to; nothing is added afterwards."""
        return Gathered(self._records, tuple(self._attempts), tuple(self._items))


def gather(facts: Iterable[Fact]) -> Gathered:
    """Return what facts tell together."""
    gathering = Gathering()
    gathering.add(tuple(facts))
    return gathering.gathered()


def _attempt(fact: Fact) -> Row | None:
    match fact:
        case AttemptEnded():
            outcome, started, error = fact.outcome, fact.started_at, fact.error
        case GivenBack():
            outcome, started, error = fact.why, None, ""
        case Ended(state=JobState.DEAD):
            outcome, started, error = "dead", fact.started_at, f"{fact.error_type}: {fact.error}".lstrip(": ")
        case _:
            return None
    where = short(fact.id, "id"), fact.replays, fact.attempt, fact.at, short(outcome, "outcome")
    return *where, started, short(fact.worker, "worker"), text(error)


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of some items of a chunk, by place."""

    items: dict[int, msgspec.Raw] = {}
    failed: dict[int, Any] = {}


def _part(fact: ItemsEnded | Ended) -> Row:
    content = msgspec.json.encode(Part(dict(sorted(fact.items.items())), dict(sorted(fact.failed.items()))))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    run = fact.replays * (1 << 20) + fact.attempt
    return short(fact.id, "id"), run, digest, content if len(content) <= ITEMS_BYTES else None
