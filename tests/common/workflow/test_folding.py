"""Folding in a tree: every value once, in order, in groups within the bounds, whatever the order of the ends."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.workflow.folding import Folding, Group, Level, counted, ended
from warren.workflow.graph import MAX_CHUNKS, MapSpec


def folded(chunks: list[list[str]], spec: MapSpec, rng: random.Random) -> tuple[str, list[Group]]:
    """Fold texts by joining them; ends come in a random order, the number of chunks at a random moment, and all of it twice."""
    values = {(0, place): list(chunk) for place, chunk in enumerate(chunks)}
    begun, folding, cut = list(values), Folding(), list[Group]()
    told = False
    while folding.end is None:
        assert begun or not told, "it waits for nothing"
        if not told and (not begun or rng.random() < 0.2):
            folding, groups = counted(folding, spec, len(chunks), sum(map(len, chunks)))
            told = True
        else:
            entry = begun.pop(rng.randrange(len(begun)))
            assert folding.is_new(*entry)
            folding, groups = ended(folding, spec, entry, len(values[entry]), sum(map(len, values[entry])))
            assert not folding.is_new(*entry)
        for group in groups:
            parts = [values[group.level - 1, place] for place in range(group.first, group.last)]
            values[group.level, group.place] = ["".join(text for part in parts for text in part)]
            begun.append((group.level, group.place))
        cut += groups
        assert not told or set(begun) == set(folding.open(10**6))
        folding = msgspec.json.decode(msgspec.json.encode(folding), type=Folding)
    assert not begun
    return values[folding.end][0], cut


texts = st.text("abc", max_size=3)


@given(
    st.lists(st.lists(texts, min_size=1, max_size=5), max_size=30), st.integers(2, 8), st.booleans(), st.integers(0, 99)
)
def test_what_is_folded_is_all_of_it_in_order(chunks: list[list[str]], fan_in: int, tree: bool, seed: int) -> None:
    spec = MapSpec("reduce", fan_in=fan_in, tree=tree)
    whole, cut = folded(chunks, spec, random.Random(seed))
    assert whole == "".join(text for chunk in chunks for text in chunk)
    again = folded(chunks, spec, random.Random(seed + 1))[1]
    assert sorted(map(str, again)) == sorted(map(str, cut)), "the groups follow from the values alone"
    for group in cut:
        size = sum(map(len, chunks[group.first : group.last])) if group.level == 1 else group.last - group.first
        assert not tree or size <= fan_in or group.last - group.first == (1 if group.level == 1 else 2)
    assert tree or len(cut) == 1


def test_a_group_is_bounded_by_bytes_too() -> None:
    cut = folded([["x" * 600]] * 4, MapSpec("r", fan_in_bytes=1300), random.Random(1))[1]
    assert [
        (group.level, group.first, group.last) for group in sorted(cut, key=lambda group: (group.level, group.place))
    ] == [
        (1, 0, 2),
        (1, 2, 4),
        (2, 0, 2),
    ]


@pytest.mark.parametrize("entry", [(0, -1), (0, 2), (1, 0), (7, 0)])
def test_what_there_cannot_be_is_not_taken(entry: tuple[int, int]) -> None:
    folding, _ = counted(Folding(), MapSpec("r"), 2, 2)
    assert not folding.is_new(*entry)


def test_an_early_end_that_comes_late_releases_all_others_in_one_go() -> None:
    many = 100_000  # were all that is ahead copied for each of them, this would take minutes
    waiting = Folding(levels=(Level(ahead=dict.fromkeys(range(1, many), (1, 5))),), settled=many - 1)
    folding, groups = ended(waiting, MapSpec("r", fan_in=1_000), (0, 0), 1, 5)
    assert (folding.levels[0].taken, folding.levels[0].ahead, folding.settled) == (many, {}, many)
    assert [(group.first, group.last) for group in groups] == [(n, n + 1_000) for n in range(0, many - 1_000, 1_000)]


def test_of_ever_so_many_chunks_only_those_asked_for_are_listed() -> None:
    assert counted(Folding(), MapSpec("r"), MAX_CHUNKS, MAX_CHUNKS)[0].open(3) == [(0, 0), (0, 1), (0, 2)]


def test_a_map_of_nothing_is_reduced_from_nothing() -> None:
    folding, groups = counted(Folding(), MapSpec("r"), 0, 0)
    assert groups == [Group(1, 0, 0, 0)]
    folding, groups = ended(folding, MapSpec("r"), (1, 0), 1, 1)
    assert (groups, folding.end) == ([], (1, 0))
