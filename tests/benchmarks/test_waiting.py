import itertools

import pytest
from benchmarks.waiting import NotInTime, wait_until, wait_until_still


def test_waiting_ends_when_the_condition_is_true() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), 5, "three looks")
    assert next(answers, None) is None


def test_what_did_not_come_true_is_named() -> None:
    with pytest.raises(NotInTime, match="the moon: not within"):
        wait_until(lambda: False, 0.01, "the moon")


def test_a_value_is_still_when_two_readings_agree() -> None:
    values = iter([9.0, 5.0, 4.0, 3.9, 3.0])
    assert wait_until_still(lambda: next(values), 0.2, 5, "it", pause=0.001) == 3.9


def test_a_value_that_never_rests_is_told() -> None:
    values = itertools.count()
    with pytest.raises(NotInTime, match="it"):
        wait_until_still(lambda: float(next(values)), 0.5, 0.02, "it", pause=0.001)
