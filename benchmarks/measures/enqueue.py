"""Enqueuing: jobs one by one, each confirmed before the next, and many at a time.

The systems take turns of some hundredths of a second, in an order that changes: what disturbs the machine, or its disk, disturbs
all of them, and none is always the first. A system's figures are the medians of its turns.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from benchmarks.apart import Player
from benchmarks.figures import Sample
from benchmarks.jobs.work import PAYLOAD
from benchmarks.lab import Lab
from benchmarks.measures.case import Quantities, Series

BATCH = 500
_BATCHED = ("warren", "warren-async", "taskiq", "bare")
"""Celery and Dramatiq can only loop, which is what `enqueue` measures."""


def cases(lab: Lab) -> Iterator[Series]:
    """Every system one by one and in batches."""
    yield Series("enqueue", "in turns", partial(_in_turns, lab, "enqueue", lab.systems, partial(_singly, lab)))
    batched = [name for name in lab.systems if name in _BATCHED]
    yield Series("enqueue many", "in turns", partial(_in_turns, lab, "enqueue many", batched, partial(_batched, lab)))


def _in_turns(
    lab: Lab, measure: str, names: Sequence[str], turn: Callable[[str, Player], Quantities]
) -> Iterator[Sample]:
    turns: dict[str, list[Quantities]] = {name: [] for name in names}
    with ExitStack() as stack:
        players = [(name, stack.enter_context(Player(stack.enter_context(lab.site()), name))) for name in names]
        for _, player in players:
            player.plays("warm", "nothing", [PAYLOAD])
        for number in range(lab.plan.turns):
            first = number % max(1, len(players))
            for name, player in players[first:] + players[:first]:
                turns[name].append(turn(name, player))
    for name, found in turns.items():
        for quantity in found[0]:
            yield Sample(measure, name, quantity, statistics.median(each[quantity] for each in found))


def _singly(lab: Lab, _: str, player: Player) -> Quantities:
    return player.plays("singly", "nothing", [PAYLOAD], lab.plan.singles)


def _batched(lab: Lab, name: str, player: Player) -> Quantities:
    number = lab.plan.batched
    if name == "bare":  # its batch is its window
        return player.plays("at_once", "nothing", [PAYLOAD], number)
    return player.plays("in_batches", "nothing", [PAYLOAD], number, min(BATCH, number))
