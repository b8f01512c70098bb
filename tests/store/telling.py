"""Facts of one job as they might be told, for property tests."""

import functools
from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from warren.states import FINAL
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, ItemsEnded, Progressed, Started
from warren.store.merging import Record, join, of

LIVES, ATTEMPTS = st.integers(0, 2), st.integers(0, 3)
TIMES = st.sampled_from([100.0, 100.25, 101.0, 150.5, 1e9])
TEXTS = st.sampled_from(["", "no", "Ünïcode", "nul\0", "a longer text"])
WORKERS = st.sampled_from(["", "one", "two"])


def facts(ids: Sequence[str] = ("the-id",)) -> st.SearchStrategy[Fact]:
    place = (st.sampled_from(ids), st.sampled_from(["m:f", "m:g"]), st.sampled_from(["q", "r"]), LIVES, ATTEMPTS)
    items = st.sampled_from([{}, {0: msgspec.Raw(b"1")}, {0: msgspec.Raw(b"1"), 3: msgspec.Raw(b'"x"')}])
    return st.one_of(
        st.builds(
            Enqueued, *place, TIMES, TIMES, st.sampled_from(["", '{"args":[1],"kwargs":{}}', '{"args":["cat.png"]}']),
            st.none() | st.integers(0, 5), st.none() | st.integers(0, 9), st.integers(0, 3), st.integers(0, 3),
            TEXTS, st.sampled_from(["", "wf"]), st.sampled_from(["", "node"]),
        ),
        st.builds(Started, *place, TIMES, WORKERS),
        st.builds(Progressed, *place, TIMES, st.integers(0, 9), st.none() | st.integers(0, 9)),
        st.builds(GivenBack, *place, TIMES, WORKERS, st.sampled_from(["interrupted", "lost"]), st.integers(0, 3)),
        st.builds(
            AttemptEnded, *place, TIMES, WORKERS, st.sampled_from(["retry", "crashed"]), TEXTS,
            st.none() | TIMES, st.none() | TIMES,
        ),
        st.builds(ItemsEnded, *place, TIMES, items),
        st.builds(
            Ended, *place, TIMES, st.sampled_from(sorted(FINAL)), WORKERS, st.sampled_from([None, "null", "7", '"x"']),
            TEXTS, TEXTS, TEXTS, TEXTS, st.none() | TIMES, items,
        ),
    )  # fmt: skip


FACTS = facts()


def fold(told: Sequence[Fact]) -> Record:
    return functools.reduce(join, map(of, told))
