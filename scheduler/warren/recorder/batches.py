"""What is written together: the messages that were read, cut so that no transaction takes long."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from warren.amqp.seam import Delivery
from warren.recorder.inflow import offset_of
from warren.store.facts import Fact
from warren.store.gathering import Gathered, Gathering

TOGETHER = 5_000
"""Facts in one transaction, or a few hundred more: while it lasts nobody else writes."""
Told = tuple[int, Sequence[Fact]]
"""The offset after a message, and what that told."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that are written together.

    Attributes:
        published: when each was.
        told: what each told.
        gathered: what that comes to.
    """

    published: Sequence[float | None]
    told: Sequence[Told]
    gathered: Gathered


def batches(deliveries: Sequence[Delivery], read: Callable[[Delivery, Gathering], Sequence[Fact]]) -> Iterator[Batch]:
    """Yield what messages tell, each read in its turn, as one may tell hundreds of facts; `read` gathers and returns them."""
    told: list[Told] = []
    gathering, count, begin = Gathering(), 0, 0
    for number, delivery in enumerate(deliveries):
        facts = read(delivery, gathering)
        told.append((offset_of(delivery) + 1, facts))
        count += len(facts)
        if count >= TOGETHER or number + 1 == len(deliveries):
            published = [each.message.timestamp for each in deliveries[begin : number + 1]]
            yield Batch(published, told, gathering.gathered())
            told, gathering, count, begin = [], Gathering(), 0, number + 1
