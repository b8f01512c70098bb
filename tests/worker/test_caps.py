"""A process that has run enough jobs or has too much memory is replaced between two of them, or killed for what it runs."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worker.test_pool import HEAVY, Scene, scenario
from tests.worker.test_resize import eventually, exits, pids
from tests.worker.test_roster import process

from warren.worker.assignment import ProcessDied
from warren.worker.blame import is_ours
from warren.worker.caps import Caps, Means, Watch
from warren.worker.memory import MIB, OwnMemory
from warren.worker.roster import Roster


class FakeProcess:
    """What the kernel would say of a process."""

    def __init__(self, own: int, shared: int) -> None:
        self.own, self.shared, self.now = own, shared, 0.0
        self.exact = 0
        self.memory = OwnMemory(1, resident=self._resident, private=self._private, clock=lambda: self.now)

    def _resident(self, _: int) -> int:
        return self.own + self.shared

    def _private(self, _: int) -> int:
        self.exact += 1
        return self.own


def test_what_is_shared_does_not_count() -> None:
    kernel = FakeProcess(own=10, shared=1000)
    assert [kernel.memory.now(50, 60) for _ in range(3)] == [10, 10, 10]
    assert kernel.exact == 1, "the kernel looks at every page for it"
    kernel.own = 55
    assert kernel.memory.now(50, 60) == 55


def test_a_process_within_its_limit_is_never_looked_at_page_by_page() -> None:
    kernel = FakeProcess(own=10, shared=30)
    assert kernel.memory.now(50, 60) == 40
    assert kernel.exact == 0


def test_what_was_shared_may_be_its_own_later() -> None:
    kernel = FakeProcess(own=10, shared=1000)
    assert kernel.memory.now(50, 60) == 10
    kernel.own, kernel.shared, kernel.now = 910, 100, 3.0
    assert kernel.memory.now(50, 60) == 910


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200))), st.integers(1, 100))
def test_whoever_is_said_to_be_over_the_limit_is(history: list[tuple[int, int]], limit: int) -> None:
    kernel = FakeProcess(0, 0)
    for kernel.own, kernel.shared in history:
        found = kernel.memory.now(limit // 2, limit)
        assert found <= limit or found == kernel.own


class Bench:
    """One process under a watch, whose memory and jobs a test decides."""

    def __init__(self, caps: Caps, *, own: int = 50, shared: int = 0) -> None:
        self.kernel = FakeProcess(own, shared)
        self.process = process(0)
        self.process.ready = True
        self.renewed = self.changes = 0
        self.killed: list[str] = []
        means = Means(lambda _: self._renew(), kill=lambda _, why: self.killed.append(why), changed=self._change)
        self.watch = Watch(caps, Roster({0: self.process}), memory=lambda _: self.kernel.memory)
        self.watch.means = means

    def _renew(self) -> None:
        self.renewed += 1

    def _change(self) -> None:
        self.changes += 1

    def works(self, *, own: int) -> None:
        """It runs something, and has so much memory."""
        nothing: Any = None
        self.process.held.append(nothing)
        self.kernel.own = own
        self.watch.look()

    def ends(self, *, own: int) -> None:
        """It has ended what it ran, and has so much left."""
        self.process.held.clear()
        self.process.ran += 1
        self.kernel.own = own
        self.watch.rested(self.process)


MEMORY = Caps(memory=250)


def test_a_peak_during_a_job_is_no_reason_to_replace_a_process() -> None:
    bench = Bench(MEMORY)
    bench.watch.look()
    bench.works(own=240)
    bench.ends(own=60)
    assert (bench.renewed, bench.killed) == (0, [])


@pytest.mark.parametrize(("own", "spent"), [(210, False), (230, True)])
def test_a_process_near_its_limit_is_given_no_more_jobs_while_its_successor_starts(own: int, *, spent: bool) -> None:
    bench = Bench(MEMORY)
    bench.watch.look()
    bench.works(own=own)
    bench.ends(own=own)
    assert (bench.renewed, bench.process.spent, bench.changes) == (1, spent, int(spent))


def test_a_process_that_keeps_what_it_took_is_replaced_before_it_reaches_the_limit() -> None:
    bench = Bench(MEMORY)
    bench.watch.look()
    bench.works(own=240)
    bench.ends(own=220)
    assert (bench.renewed, bench.killed) == (1, [])


def test_a_process_that_is_large_from_the_start_is_not_replaced_for_that() -> None:
    bench = Bench(MEMORY, own=225)
    bench.watch.look()
    bench.works(own=230)
    bench.ends(own=226)
    assert (bench.renewed, bench.killed) == (0, [])


def test_over_the_limit_is_a_kill_during_a_job_and_no_kill_between_two() -> None:
    bench = Bench(Caps(memory=250 * MIB))
    bench.watch.look()
    bench.works(own=300 * MIB)
    assert bench.killed == ["over its memory limit of 250 MiB: it had 300"]
    idle = Bench(MEMORY)
    idle.watch.look()
    idle.kernel.own = 300
    idle.watch.look()
    assert (idle.renewed, idle.killed) == (1, [])


def test_modules_that_are_over_the_limit_are_told_of() -> None:
    bench = Bench(Caps(memory=250 * MIB), own=300 * MIB)
    assert "its modules alone take 300 MiB, and max_memory_per_process is 250 MiB" in bench.watch.refusal(bench.process)
    assert Bench(MEMORY, shared=300).watch.refusal(bench.process) == ""
    assert Bench(Caps(jobs=1), own=10**12).watch.refusal(bench.process) == ""


def test_a_process_is_replaced_after_so_many_jobs() -> None:
    bench = Bench(Caps(jobs=3))
    for renewed in (0, 0, 1):
        bench.ends(own=50)
        assert bench.renewed == renewed


@given(spare=st.integers(0, 10**12))
def test_the_nearest_process_says_when_to_look_again(spare: int) -> None:
    bench = Bench(Caps(memory=10**12), own=10**12 - spare)
    assert bench.watch.look() == spare


# --- real processes


@scenario(2, 1, caps=Caps(jobs=3))
async def test_processes_that_have_run_enough_leave_and_no_job_waits_for_that(scene: Scene) -> None:
    before = pids(scene)
    for number in range(0, 40, 2):
        await asyncio.gather(scene.run(number), scene.run(number + 1))
    await eventually(lambda: before <= {pid for pid, _ in exits(scene)}, "the first ones have left")
    assert {reason for _, reason in exits(scene)} == {"stopped"}
    assert all(len(ended) == 1 for ended in scene.ended.values())


@scenario(1, 1, caps=Caps(memory=200 * MIB))
async def test_a_leak_ends_between_two_jobs_and_costs_none(scene: Scene) -> None:
    number = 0
    while not exits(scene):
        await scene.call(f"{HEAVY}:keep", 20, number=number)
        await asyncio.sleep(0.1)  # as jobs that take some time do, in which a look falls
        number += 1
    assert [reason for _, reason in exits(scene)] == ["stopped"]
    assert all(len(ended) == 1 for ended in scene.ended.values())


@pytest.mark.parametrize("task", ["take_for_ever", "take_in_c"])
def test_whatever_takes_the_memory_is_killed_for_it(task: str, tmp_path: Path) -> None:
    @scenario(2, 1, caps=Caps(memory=150 * MIB))
    async def killed(scene: Scene) -> None:
        beside = scene.run(1, until=scene.gate.path)
        with pytest.raises(ProcessDied, match="over its memory limit of 150 MiB") as died:
            await scene.call(f"{HEAVY}:{task}", number=0)
        assert not is_ours(died.value.crash)
        assert died.value.crash.max_rss < 1000 * MIB, "it was found in time"
        scene.gate.open()
        await beside

    killed(tmp_path)


@scenario(1, 1, caps=Caps(memory=150 * MIB))
async def test_one_large_allocation_is_found_while_it_is_made(scene: Scene) -> None:
    with pytest.raises(ProcessDied, match="over its memory limit"):
        await scene.call(f"{HEAVY}:take_at_once", 2000, number=0)
    await scene.run(1)


@scenario(1, 1, caps=Caps(memory=100 * MIB))
async def test_a_large_file_that_a_job_maps_is_not_its_own_memory(scene: Scene) -> None:
    large = scene.log.with_name("large")
    with large.open("wb") as file:
        for _ in range(200):
            file.write(b"\1" * MIB)
        file.flush()
        os.fsync(file.fileno())
    watch = scene.pool._watch
    job = scene.call(f"{HEAVY}:read_shared", str(large), scene.gate.path, number=0)
    await eventually(
        lambda: any(known.memory._shared > 200 * MIB for known in watch._known.values()), "it was looked at"
    )
    scene.gate.open()
    await job


@scenario(1, 5, caps=Caps(memory=150 * MIB))
async def test_what_waits_behind_a_job_that_takes_too_much_is_not_charged(scene: Scene) -> None:
    greedy = scene.call(f"{HEAVY}:take_for_ever", number=0)
    behind = [scene.run(number) for number in (1, 2)]
    with pytest.raises(ProcessDied):
        await greedy
    await asyncio.gather(*behind)
