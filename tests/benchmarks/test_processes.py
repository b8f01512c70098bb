import pytest
from benchmarks.processes import CpuReading, CpuSplit, split


def reading(moment: float, parent: float, broker: float, **children: float) -> CpuReading:
    return CpuReading(moment, parent, {int(pid[1:]): used for pid, used in children.items()}, broker)


def test_what_an_interval_used_is_the_difference_of_two_readings() -> None:
    used = split(reading(10, 1, 5, p1=2, p2=3), reading(12, 1.5, 6, p1=2.5, p2=3.25))
    assert used == CpuSplit(seconds=2, parent=0.5, child=0.75, broker=1)


def test_a_child_that_began_in_the_interval_counts_whole() -> None:
    assert split(reading(0, 0, 0, p1=1), reading(1, 0, 0, p1=1, p2=0.5)).child == 0.5


def test_a_child_that_ended_in_the_interval_does_not_count_backwards() -> None:
    assert split(reading(0, 0, 0, p1=9, p2=1), reading(1, 0, 0, p2=2)).child == 1


def test_a_split_is_told_in_microseconds_a_job() -> None:
    per_job = CpuSplit(2, 0.5, 0.25, 1).per_job(1000)
    assert per_job == pytest.approx({"parent": 500, "child": 250, "broker": 1000})


def test_splits_of_several_intervals_add_up() -> None:
    assert CpuSplit(1, 2, 3, 4) + CpuSplit(1, 1, 1, 1) == CpuSplit(2, 3, 4, 5)
