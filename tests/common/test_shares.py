"""Queues and their weights, as they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.shares import Share, names, problems, shares


def test_a_weight_that_is_not_given_is_one() -> None:
    assert shares(["critical=6", "default"]) == (Share("critical", 6), Share("default", 1))


def test_who_needs_only_the_names_has_them_in_their_order() -> None:
    assert names(["critical=6", "default", "bulk=1"]) == ("critical", "default", "bulk")


@given(st.integers(1, 1000))
def test_weights_from_one_to_a_thousand_are_allowed(weight: int) -> None:
    assert list(problems([f"a={weight}"], strict=False)) == []
    assert shares([f"a={weight}"]) == (Share("a", weight),)


@pytest.mark.parametrize("weight", ["", "0", "1001", "-1", "1.5", "six", " 6", "+6", "1_0", "٣", "6=6"])
def test_any_other_weight_is_named_with_what_it_can_be(weight: str) -> None:
    (told,) = problems([f"a={weight}"], strict=False)
    assert told == f"queue {f'a={weight}'!r} has the weight {weight!r}; take a whole number from 1 to 1000"


def test_every_problem_is_told() -> None:
    found = list(problems(["a=0", "b c", "a", "=3", "d"], strict=False))
    assert [told.partition(" has")[0].partition(" is")[0] for told in found] == [
        "queue 'a=0'",
        "queue 'b c'",
        "queue 'a'",
        "queue ''",
    ]


def test_a_queue_is_named_once() -> None:
    (told,) = problems(["a", "a"], strict=False)
    assert told == "queue 'a' is named twice; name it once, and for more of the jobs give it a weight: 'a=2'"


def test_no_queue_at_all_is_a_problem() -> None:
    assert list(problems([], strict=False)) == ["setting 'queues' is empty; name at least one queue"]


def test_a_strict_order_takes_no_weights() -> None:
    assert list(problems(["a", "b"], strict=True)) == []
    (told,) = problems(["a=1", "b"], strict=True)
    assert "'a=1' has a weight, and with 'strict' the order of the queues counts" in told
