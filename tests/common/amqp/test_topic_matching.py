"""Topic patterns of the in-memory broker, against the plainest possible matcher."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warren.amqp.memory_exchanges import Words, matches, words


def plainly_matches(pattern: Words, key: Words) -> bool:
    if not pattern:
        return not key
    if pattern[0] == "#":
        return plainly_matches(pattern[1:], key) or (bool(key) and plainly_matches(pattern, key[1:]))
    return bool(key) and pattern[0] in {"*", key[0]} and plainly_matches(pattern[1:], key[1:])


@given(
    st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=8).map(tuple),
    st.lists(st.sampled_from(["a", "b", "", "#"]), max_size=8).map(tuple),
)
@example(("#", "a", "#", "b"), ("a", "b", "a"))
@example(("#", "#"), ())
def test_matching_agrees_with_the_definition(pattern: Words, key: Words) -> None:
    assert matches(pattern, key) == plainly_matches(pattern, key)


@pytest.mark.parametrize(
    ("key", "expected"), [("", ()), ("a", ("a",)), ("a.b", ("a", "b")), (".", ("", "")), ("a..b", ("a", "", "b"))]
)
def test_a_key_is_split_at_dots_and_the_empty_key_has_no_words(key: str, expected: Words) -> None:
    assert words(key) == expected


def test_many_hashes_do_not_take_for_ever() -> None:
    assert not matches(("#", "a") * 30, ("a",) * 29 + ("b",) * 30)
