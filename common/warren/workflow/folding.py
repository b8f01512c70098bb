"""Folding the ordered results of a map in a tree, while they come: which calls of the reducing task are to be made, and of what.

Theory of operation. Level 0 are the map's chunks, each a list of values; level 1 are the calls that fold lists of those, level 2
those that fold what level 1 returned, and so on. On each level entries end in any order, and are taken in theirs: a group is
cut when the next entry would make it too long or too large. So the groups follow from the values alone, and whoever folds
the same map again cuts the same ones. A level is complete when the one below has cut its last group and all are taken; a level
above 0 of one entry is the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import msgspec
from msgspec.structs import replace

from warren.workflow.graph import MapSpec


class Level(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one level is.

    Attributes:
        taken: entries taken in their order, from 0.
        first: the first entry of the open group.
        count: values in that group.
        size: bytes of them.
        groups: how many are cut.
        ahead: entries that have ended before their turn: values and bytes of each.
    """

    taken: int = 0
    first: int = 0
    count: int = 0
    size: int = 0
    groups: int = 0
    ahead: Mapping[int, tuple[int, int]] = {}


class Folding(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a map and its reduce are.

    Attributes:
        chunks: how many there are; None until the producer has said it.
        items: likewise.
        settled: items that have ended.
    """

    levels: tuple[Level, ...] = (Level(),)
    chunks: int | None = None
    items: int | None = None
    settled: int = 0

    def is_new(self, level: int, place: int) -> bool:
        """Whether an entry's end has not been taken before, and can come at all."""
        if level >= len(self.levels) or not 0 <= place < (self._total(level, NEVER)):
            return False
        return place >= self.levels[level].taken and place not in self.levels[level].ahead

    def total(self, level: int) -> int | None:
        """Return how many entries a level has, if that is known."""
        if level == 0:
            return self.chunks
        below, entries = self.levels[level - 1], self.total(level - 1)
        return below.groups if below.taken == entries and below.first == below.taken and below.groups else None

    @property
    def end(self) -> tuple[int, int] | None:
        """The level and place of the entry that is the result, when it has ended."""
        last = len(self.levels) - 1
        done = last > 0 and self.levels[last].taken == 1 and self.total(last) == 1
        return (last, 0) if done else None

    def open(self, most: int) -> list[tuple[int, int]]:
        """Return level and place of entries that were begun and have not ended, as far as that is known; so many at most."""
        found = (
            (number, place)
            for number, level in enumerate(self.levels)
            for place in range(level.taken, self._begun(number))
            if place not in level.ahead
        )
        return list(islice(found, most))

    def _begun(self, level: int) -> int:
        if level:
            return self.levels[level - 1].groups
        return self.chunks if self.chunks is not None else max(self.levels[0].ahead, default=-1) + 1

    def _total(self, level: int, unknown: int) -> int:
        if level:
            return self.levels[level - 1].groups
        return unknown if self.chunks is None else self.chunks


NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one level that are to be folded into one of the next.

    Attributes:
        level: of the entry that they become; theirs is one below.
        place: of that.
        first: of the entries.
        last: after the last of them.
    """

    level: int
    place: int
    first: int
    last: int


def ended(
    folding: Folding, spec: MapSpec, entry: tuple[int, int], count: int, size: int
) -> tuple[Folding, list[Group]]:
    """Take the end of an entry that `is_new`; return what is to be folded now.

    Args:
        folding: so far.
        spec: the bounds of a group.
        entry: its level and place.
        count: how many values it has, 1 above level 0.
        size: their bytes.
    """
    number, place = entry
    level = folding.levels[number]
    level = replace(level, ahead={**level.ahead, place: (count, size)})
    settled = folding.settled + count if number == 0 else folding.settled
    folding = replace(folding, levels=_put(folding.levels, number, level), settled=settled)
    return _cascade(folding, spec, number)


def counted(folding: Folding, spec: MapSpec, chunks: int, items: int) -> tuple[Folding, list[Group]]:
    """Take in how many chunks and items there are."""
    return _cascade(replace(folding, chunks=chunks, items=items), spec, 0)


def _cascade(folding: Folding, spec: MapSpec, number: int) -> tuple[Folding, list[Group]]:
    """Take what can be taken on a level, and where that completes it, see what that means above."""
    groups: list[Group] = []
    while number < len(folding.levels):
        level = _take(folding.levels[number], spec, number, groups)
        total = folding.total(number)
        ends = level.taken == total and (number == 0 or total > 1)
        if ends and (level.first < level.taken or not level.groups):
            level = _cut(level, number, groups)
        levels = _put(folding.levels, number, level)
        if level.groups and len(levels) == number + 1:
            levels = (*levels, Level())
        folding = replace(folding, levels=levels)
        number += 1
    return folding, groups


def _take(level: Level, spec: MapSpec, number: int, groups: list[Group]) -> Level:
    """Take all whose turn it is; many, when an early one ends late: so what is ahead is copied once, and not for each."""
    if level.taken not in level.ahead:
        return level
    ahead = dict(level.ahead)
    while (found := ahead.pop(level.taken, None)) is not None:
        count, size = found
        full = level.count + count > spec.fan_in or level.size + size > spec.fan_in_bytes
        # Above the chunks a group has at least two entries, or nothing would become less.
        if spec.tree and full and level.taken - level.first >= (2 if number else 1):
            level = _cut(level, number, groups)
        level = replace(level, taken=level.taken + 1, count=level.count + count, size=level.size + size)
    return replace(level, ahead=ahead)


def _cut(level: Level, number: int, groups: list[Group]) -> Level:
    groups.append(Group(number + 1, level.groups, level.first, level.taken))
    return replace(level, first=level.taken, count=0, size=0, groups=level.groups + 1)


def _put(levels: tuple[Level, ...], number: int, level: Level) -> tuple[Level, ...]:
    return (*levels[:number], level, *levels[number + 1 :])
