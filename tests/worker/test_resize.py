"""A pool that is made larger, smaller or new while it works: no job is lost, run twice or charged, and no place is empty."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable

import psutil
import pytest
from tests.support import eventually_async
from tests.worker.test_pool import Scene, scenario

from warren.events import PoolResized, ProcessExited, ProcessStarted
from warren.worker.assignment import ProcessDied


async def eventually(condition: Callable[[], object], message: str = "") -> None:
    async def asked() -> bool:
        return bool(condition())

    await eventually_async(asked, message=message)


def pids(scene: Scene) -> set[int]:
    return {process.pid for process in scene.pool._supervisor.roster}


def exits(scene: Scene) -> list[tuple[int, str]]:
    return [(event.pid, event.reason) for event in scene.events if isinstance(event, ProcessExited)]


def gone(numbers: Iterable[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in numbers)


@scenario(1, 1)
async def test_a_larger_pool_runs_more_at_once(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(3)]
    await scene.begun(0)
    scene.pool.resize(3)
    await eventually(lambda: len(scene.started) == 3, "all three run")
    assert scene.pool.counts == (0, 3, 0)
    scene.gate.open()
    await asyncio.gather(*jobs)
    assert PoolResized(1, 3, "asked for") in scene.events


@scenario(3, 1)
async def test_a_smaller_pool_lets_those_too_many_finish(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(5)]
    await eventually(lambda: len(scene.started) == 3)
    before = pids(scene)
    scene.pool.resize(1)
    assert (scene.pool.size, scene.pool.counts) == (1, (0, 1, 0))
    assert exits(scene) == []
    scene.gate.open()
    await asyncio.gather(*jobs)
    await eventually(lambda: len(pids(scene)) == 1, "two have left")
    (left,) = pids(scene)
    assert sorted(exits(scene)) == sorted((pid, "stopped") for pid in before - {left})
    assert scene.pool.counts == (1, 0, 0)


@scenario(2, 5)
async def test_what_waits_in_a_process_that_leaves_goes_to_another(scene: Scene) -> None:
    jobs = [scene.run(0, until=scene.gate.path), scene.run(1, until=scene.gate.path)]
    await eventually(lambda: len(scene.started) == 2)
    behind = [scene.run(number, until=scene.gate.path) for number in range(2, 8)]
    scene.pool.resize(1)
    scene.gate.open()
    await asyncio.gather(*jobs, *behind)
    assert sorted(number for number, ended in scene.ended.items() if len(ended) == 1) == list(range(8))
    await eventually(lambda: [reason for _, reason in exits(scene)] == ["stopped"])


@scenario(2, 1)
async def test_a_pool_may_be_resized_again_and_again_at_once(scene: Scene) -> None:
    for size in (5, 1, 4, 4, 2, 3):
        scene.pool.resize(size)
    await eventually(lambda: scene.pool.counts == (3, 0, 0))
    await eventually(lambda: len(pids(scene)) == 3, "those too many have left")
    await asyncio.gather(*[scene.run(number) for number in range(20)])
    assert {reason for _, reason in exits(scene)} <= {"stopped"}


@scenario(2, 1)
async def test_it_is_told_how_many_processes_can_be_used_now(scene: Scene) -> None:
    told: list[int] = []
    scene.pool.on_usable = told.append
    job = scene.run(0, until=scene.gate.path)
    await scene.begun(0)
    os.kill(next(process.pid for process in scene.pool.roster if process.busy), signal.SIGKILL)
    with pytest.raises(ProcessDied):
        await job
    assert told == [1], "before the job that it took along has ended"
    await eventually(lambda: told == [1, 2])
    scene.pool.resize(1)
    assert told[-1] == 1


@scenario(1, 1)
async def test_a_pool_cannot_be_without_processes(scene: Scene) -> None:
    with pytest.raises(ValueError, match="at least 1 process, not 0"):
        scene.pool.resize(0)
    await scene.run(1)


@scenario(3, 1)
async def test_a_recycled_pool_has_only_new_processes_and_ran_on_meanwhile(scene: Scene) -> None:
    before = pids(scene)
    scene.pool.recycle()
    count = 0
    while pids(scene) & before:
        await scene.run(count)
        count += 1
    await eventually(lambda: gone(before))
    assert len(pids(scene)) == 3
    assert sorted(exits(scene)) == sorted((pid, "stopped") for pid in before)
    assert all(len(ended) == 1 for ended in scene.ended.values())


@scenario(1, 1)
async def test_a_successor_is_ready_before_the_old_process_leaves(scene: Scene) -> None:
    (old,) = pids(scene)
    scene.pool.recycle()
    await eventually(lambda: exits(scene))
    happened = [(type(event), getattr(event, "pid", 0)) for event in scene.events]
    (new,) = pids(scene)
    assert happened[-2:] == [(ProcessStarted, new), (ProcessExited, old)]


@scenario(1, 1)
async def test_an_old_process_finishes_what_it_runs_and_its_successor_runs_the_next(scene: Scene) -> None:
    (old,) = pids(scene)
    long = scene.run(0, until=scene.gate.path)
    await scene.begun(0)
    scene.pool.recycle()
    await eventually(lambda: scene.pool.counts == (1, 0, 0), "the successor is in its place")
    await scene.run(1)
    assert psutil.pid_exists(old)
    assert not long.done()
    scene.gate.open()
    await long
    await eventually(lambda: exits(scene) == [(old, "stopped")])


@scenario(1, 1)
async def test_an_old_process_that_is_killed_as_it_leaves_is_a_crash_of_its_job_alone(scene: Scene) -> None:
    (old,) = pids(scene)
    long = scene.run(0, until=scene.gate.path)
    await scene.begun(0)
    scene.pool.recycle()
    await eventually(lambda: scene.pool.counts == (1, 0, 0))
    os.kill(old, signal.SIGKILL)
    with pytest.raises(ProcessDied):
        await long
    await scene.run(1)
    assert len(pids(scene)) == 1, "nobody came for one that had no place any more"


@scenario(2, 1)
async def test_the_nursery_may_die_in_the_middle_of_it(scene: Scene) -> None:
    scene.pool.recycle()
    scene.pool.resize(3)
    keeper = scene.pool._supervisor._lifeline._keeper
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)
    await eventually(lambda: scene.pool.counts == (3, 0, 0))
    await asyncio.gather(*[scene.run(number) for number in range(6)])
    await eventually(lambda: len(pids(scene)) == 3)


@scenario(2, 1)
async def test_stopping_ends_those_that_leave_as_well(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(2)]
    await eventually(lambda: len(scene.started) == 2)
    before = pids(scene)
    scene.pool.recycle()
    await eventually(lambda: len(before | pids(scene)) == 4 and scene.pool.counts == (2, 0, 0))
    everyone = before | pids(scene)
    scene.pool.kill_busy("the worker is stopping")
    await scene.pool.stop()
    assert gone(everyone)
    for job in jobs:
        with pytest.raises(ProcessDied):
            await job
