"""Frames come out as they went in, however the bytes are cut."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.limits import Limits
from warren.outcome import Cancelled, Crashed, Done, Expired, Failed, Failure, Rejected, Retry
from warren.worker.frames import (
    Broken,
    Counted,
    Ended,
    Family,
    FromProcess,
    Part,
    Progress,
    Ready,
    Run,
    Stop,
    TaskInfo,
    ToProcess,
    Unit,
    Unpacker,
    encode,
    frame,
    pack,
)

deterministic = settings(deadline=None, derandomize=True, database=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(0, 1e9)
failures = st.builds(Failure, texts, texts, texts)
outcomes = st.one_of(
    st.builds(Done, st.binary(max_size=300)),
    st.builds(Retry, numbers, failures, st.booleans()),
    st.builds(Failed, failures, texts),
    st.builds(Cancelled, texts),
    st.just(Expired()),
    st.builds(Rejected, texts, texts),
    st.builds(
        Crashed,
        st.none() | st.integers(1, 64),
        st.none() | st.integers(0, 255),
        st.integers(0, 2**40),
        texts,
        texts,
        texts,
        st.none() | st.booleans(),
    ),
)
families = st.builds(
    Family,
    texts,
    texts,
    texts,
    st.lists(st.tuples(texts, st.dictionaries(texts, texts, max_size=2), numbers), max_size=2),
)
parts = st.builds(Part, st.integers(0, 2**40), st.integers(0, 10**6), st.integers(1, 10**6))
from_process: st.SearchStrategy[Any] = st.one_of(
    st.builds(Ready, st.lists(st.builds(TaskInfo, texts, texts, st.integers(1, 9), st.none() | numbers), max_size=2)),
    st.builds(Broken, texts),
    st.builds(Ended, outcomes, numbers, st.none() | parts, st.booleans()),
    st.builds(Progress, st.integers(0, 10**9), st.none() | st.integers(0, 10**9)),
    st.builds(Counted, st.lists(families, max_size=2)),
)
units = st.builds(Unit, st.integers(0, 2**40), st.lists(st.integers(0, 10**6), max_size=3), st.binary(max_size=20))
runs = st.builds(
    Run,
    texts,
    texts,
    texts,
    st.integers(1, 99),
    st.integers(0, 99),
    texts,
    numbers,
    st.binary(max_size=300),
    st.none() | units,
    st.none() | st.builds(Limits, attempts=st.none() | st.integers(1, 9), timeout=st.none() | numbers),
)
to_process: st.SearchStrategy[Any] = st.just(Stop()) | runs


@deterministic
@given(sent=st.lists(from_process, max_size=4))
def test_what_a_process_says_arrives_byte_by_byte(sent: list[FromProcess]) -> None:
    unpacker, found = Unpacker(FromProcess), []
    for byte in b"".join(map(pack, sent)):
        found += unpacker.feed(bytes([byte]))
    assert found == sent


@deterministic
@given(sent=st.lists(to_process, max_size=4), cuts=st.lists(st.integers(1, 200), max_size=20))
def test_what_a_process_is_told_arrives_however_it_is_cut(sent: list[ToProcess], cuts: list[int]) -> None:
    data, unpacker, found = b"".join(frame(encode(each)) for each in sent), Unpacker(ToProcess), []
    for cut in cuts:
        found += unpacker.feed(data[:cut])
        data = data[cut:]
    assert found + unpacker.feed(data) == sent


def test_several_messages_in_one_read_come_in_order() -> None:
    sent = [Progress(number) for number in range(5)]
    assert Unpacker(FromProcess).feed(b"".join(map(pack, sent))) == sent


def test_a_message_comes_only_when_it_is_complete() -> None:
    unpacker, data = Unpacker(FromProcess), pack(Broken("no"))
    assert unpacker.feed(data[:-1]) == []
    assert unpacker.feed(b"") == []
    assert unpacker.feed(data[-1:]) == [Broken("no")]


def test_a_long_message_is_one_message() -> None:
    sent = Ended(Done(b"x" * 3_000_000), 1.0)
    assert Unpacker(FromProcess).feed(pack(sent)) == [sent]


def test_what_is_of_the_other_direction_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        Unpacker(FromProcess).feed(frame(encode(Stop())))
