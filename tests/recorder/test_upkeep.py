"""How much of its time a recorder gives to upkeep."""

import pytest

from warren.recorder.upkeep import pause


@pytest.mark.parametrize("worked", [0.0, 0.3, 20.0])
def test_what_waits_is_indexed_at_once_while_recording_keeps_pace(worked: float) -> None:
    assert pause(worked, busy=True, behind=False) == 0.0


def test_nothing_to_do_is_looked_for_now_and_then() -> None:
    assert pause(0.001, busy=False, behind=False) == pause(0.001, busy=False, behind=True) == 0.5


def test_a_recorder_that_is_behind_gives_a_tenth_of_its_time_to_upkeep() -> None:
    assert pause(0.2, busy=True, behind=True) == pytest.approx(1.8)
    assert pause(0.01, busy=True, behind=True) == 0.5
