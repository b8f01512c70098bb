import os
import subprocess
import sys
import time

import pytest
from benchmarks.processes import CpuReading, CpuSplit, cpu_of, own_pss, pss, split


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


def test_the_cpu_time_of_a_process_is_the_kernels_to_the_microsecond() -> None:
    before = time.process_time()
    seen = cpu_of(os.getpid())
    assert before <= seen <= time.process_time()


def test_a_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as program:
        program.wait()
    assert cpu_of(program.pid) == 0


def test_memory_of_ones_own_is_a_part_of_it_all_and_grows_with_what_is_kept() -> None:
    before, everything = own_pss(os.getpid()), pss(os.getpid())
    assert 0 < before < everything
    kept = b"x" * 64_000_000  # so much is never taken from what was kept and let go before
    assert own_pss(os.getpid()) - before > len(kept) * 0.9
