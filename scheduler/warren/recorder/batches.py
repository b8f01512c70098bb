"""What is written together: the messages that were read, cut so that no transaction takes long."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from warren.amqp.seam import Delivery
from warren.recorder.inflow import offset_of
from warren.store.facts import Fact

TOGETHER = 5_000
"""Facts in one transaction, or a few hundred more: while it lasts nobody else writes."""
Told = tuple[int, Sequence[Fact]]
"""The offset after a message, and what that told."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that are written together: when each was published, and what they told."""

    published: Sequence[float | None]
    told: Sequence[Told]


def batches(deliveries: Sequence[Delivery], read: Callable[[Delivery], Sequence[Fact]]) -> Iterator[Batch]:
    """Yield what messages tell, each read in its turn: one may tell hundreds of facts."""
    told: list[Told] = []
    count = begin = 0
    for number, delivery in enumerate(deliveries):
        facts = read(delivery)
        told.append((offset_of(delivery) + 1, facts))
        count += len(facts)
        if count >= TOGETHER or number + 1 == len(deliveries):
            yield Batch([each.message.timestamp for each in deliveries[begin : number + 1]], told)
            told, count, begin = [], 0, number + 1
