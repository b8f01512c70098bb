"""The pool: several jobs on their way to one process, and none that must wait there or is charged for another's crash."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.workers import Gate, begun, written
from tests.support import eventually_async

from warren.events import Event, Events, ProcessExited
from warren.outcome import Cancelled, Done
from warren.worker.assignment import Assignment, Awaited, Killable, ProcessDied
from warren.worker.blame import CANCELLED, is_ours
from warren.worker.caps import Caps
from warren.worker.frames import Ended, Run
from warren.worker.pool import Pool
from warren.worker.setup import Setup
from warren.worker.vigil import Patience

JOBS = "tests.faults.jobs"
HEAVY = "tests.faults.heavy"
NO_CAPS, PATIENCE = Caps(), Patience()


class Scene:
    """A pool whose processes may hold several jobs, and a file in which the jobs write down what they do."""

    def __init__(self, pool: Pool, folder: Path, events: list[Event]) -> None:
        self.pool = pool
        self.events = events
        self.log = folder / "log"
        self.gate = Gate(folder)
        self.started: list[int] = []
        self.ended: dict[int, list[Ended]] = {}
        self.assignments: list[Assignment] = []

    def run(self, number: int, *, until: str = "", **limits: float) -> "asyncio.Future[None]":
        """Run a job that writes down its number."""
        return self.call(f"{JOBS}:record", str(self.log), number, until, number=number, **limits)

    def call(self, task: str, *args: object, number: int, **limits: float) -> "asyncio.Future[None]":
        """Run any task, under a number."""
        run = Run(str(number), task, "default", 1, 0, "", 0.0, json.dumps({"task": task, "args": args}).encode())
        self.ended[number] = []
        work = Awaited(lambda: self.started.append(number), self.ended[number].append)
        self.assignments.append(self.pool.submit(run, work, **limits))
        return work.done

    async def begun(self, *numbers: int) -> None:
        await eventually_async(lambda: _true(begun(self.log) == list(numbers)), message=f"{numbers} have begun")


async def _true(value: object) -> bool:
    return bool(value)


@asynccontextmanager
async def a_pool(
    folder: Path, size: int, depth: int, *, caps: Caps = NO_CAPS, patience: Patience = PATIENCE
) -> AsyncIterator[Scene]:
    setup = Setup((JOBS, HEAVY), [str(Path.cwd()), *sys.path], "warning", "json", "fork")
    events: list[Event] = []
    pool = Pool(
        size,
        setup,
        Events(events.append),
        on_counted=lambda _: None,
        depth=lambda: depth,
        caps=caps,
        patience=patience,
    )
    await pool.start()
    await eventually_async(lambda: _true(pool.counts[0] == size), message="all processes are there")
    try:
        yield Scene(pool, folder, events)
    finally:
        await pool.stop()


def scenario(
    size: int, depth: int, *, caps: Caps = NO_CAPS, patience: Patience = PATIENCE
) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[Path], None]]:
    def decorated(test: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
        async def whole(folder: Path) -> None:
            async with asyncio.timeout(120), a_pool(folder, size, depth, caps=caps, patience=patience) as scene:
                await test(scene)

        def run(tmp_path: Path) -> None:
            asyncio.run(whole(tmp_path))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorated


@scenario(1, 5)
async def test_a_process_runs_what_it_holds_in_order(scene: Scene) -> None:
    jobs = [scene.run(number) for number in range(300)]
    await asyncio.gather(*jobs)
    for number in range(300):
        assert [each.outcome for each in scene.ended[number]] == [Done(str(number).encode())]
    assert begun(scene.log) == scene.started == list(range(300))


@scenario(2, 5)
async def test_what_waits_behind_a_long_job_goes_to_a_process_that_is_free(scene: Scene) -> None:
    long = scene.run(0, until=scene.gate.path)
    others = [scene.run(number) for number in range(1, 9)]
    await asyncio.gather(*others)
    assert not long.done()
    scene.gate.open()
    await long
    assert sorted(begun(scene.log)) == list(range(9)), "none ran twice"


@scenario(1, 5)
async def test_what_is_taken_back_can_be_withdrawn_and_never_runs(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(4)]
    await scene.begun(0)
    scene.pool.take_back()
    for assignment in scene.assignments[1:3]:
        assignment.withdrawn = True
    scene.gate.open()
    await asyncio.gather(jobs[0], jobs[3])
    assert begun(scene.log) == [0, 3]


@scenario(1, 5)
async def test_only_the_job_that_a_process_ran_is_charged_with_its_death(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(4)]
    await scene.begun(0)
    (pid,) = {event.pid for event in scene.events if hasattr(event, "pid")}
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProcessDied) as died:
        await jobs[0]
    assert died.value.crash.signal == signal.SIGKILL
    scene.gate.open()
    await asyncio.gather(*jobs[1:])
    assert begun(scene.log) == list(range(4))


@scenario(1, 5)
async def test_a_job_that_may_be_killed_shares_its_process_with_nobody_before_it(scene: Scene) -> None:
    first, killed = scene.run(0, until=scene.gate.path), scene.run(1, until="never", kill_after=0.2)
    await scene.begun(0)
    scene.pool.take_back()
    assert scene.started == [0]
    scene.gate.open()
    await first
    with pytest.raises(ProcessDied):
        await killed
    (exited,) = [event for event in scene.events if isinstance(event, ProcessExited)]
    assert "kill_after of 0.2 s" in exited.detail


@scenario(1, 1)
async def test_a_run_is_killed_at_its_last_moment_however_late_it_began(scene: Scene) -> None:
    first = scene.run(0, until=scene.gate.path)
    killed = scene.run(1, until="never", kill_after=600, kill_at=time.monotonic() + 0.2)
    await scene.begun(0)
    scene.gate.open()
    await first
    with pytest.raises(ProcessDied):
        await asyncio.wait_for(killed, 60)
    (exited,) = [event for event in scene.events if isinstance(event, ProcessExited)]
    assert "over its deadline" in exited.detail


def test_every_outcome_begins_a_new_countdown_but_none_goes_beyond_the_last_moment() -> None:
    async def whole() -> None:
        work = Awaited(lambda: None, lambda _: None)
        reasons: list[str] = []
        loop, now = asyncio.get_running_loop(), time.monotonic()
        killable = Killable(work, 100.0, now + 150.0, reasons.append)
        due: list[float] = []
        for elapsed in (0.0, 90.0, 200.0):
            killable._until = now + 150.0 - elapsed  # as if so much time had passed
            killable.ended(Ended(Done(b"1"), 0.0))
            assert killable._timer is not None
            due.append(round(killable._timer.when() - loop.time()))
        assert due == [100, 60, 0]
        await eventually_async(lambda: _true(reasons), message="it is killed at once")
        assert reasons == ["over its deadline, and it did not end"]

    asyncio.run(whole())


@scenario(2, 1)
async def test_at_a_depth_of_one_nothing_waits_in_a_process(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(4)]
    await eventually_async(lambda: _true(len(begun(scene.log)) == 2))
    scene.pool.take_back()
    assert scene.pool.counts == (0, 2, 0)
    assert scene.started == [0, 1]
    scene.gate.open()
    await asyncio.gather(*jobs)
    assert len(written(scene.log)) == 8


@scenario(1, 5)
async def test_a_job_taken_back_does_not_count_down_to_another_ones_kill(scene: Scene) -> None:
    job = scene.run(0, until=scene.gate.path, kill_after=60)
    work = scene.assignments[0].work
    assert isinstance(work, Killable)
    counting = work._timer
    assert counting is not None
    work.returned()  # as if the process had not come to its turn
    assert counting.cancelled()
    scene.gate.open()
    await job


@scenario(1, 5)
async def test_a_kill_never_reaches_the_job_behind(scene: Scene) -> None:
    first = scene.run(0, kill_after=60)
    second = scene.run(1, until=scene.gate.path)
    (assignment, _) = scene.assignments
    process = assignment.process
    assert process is not None
    await first
    await scene.begun(0, 1)
    process.held.appendleft(assignment)  # as if its outcome had not been heard yet
    scene.pool.ending.kill(assignment, "enough")
    process.held.popleft()
    assert process.killed_for == ""
    scene.gate.open()
    await second


@scenario(1, 5)
async def test_a_process_that_cannot_be_heard_any_more_is_replaced(scene: Scene) -> None:
    def fails(_: object) -> None:
        raise ValueError("a metric that cannot be added")

    process = scene.pool._supervisor.roster.in_place[0]
    process._listeners = replace(process._listeners, counted=fails)
    body = {"task": f"{JOBS}:count", "args": ["a"]}
    run = Run("x", f"{JOBS}:count", "default", 1, 0, "", 0.0, json.dumps(body).encode())
    with pytest.raises(ProcessDied) as died:
        await scene.pool.run(run, lambda _: None, on_start=lambda: None, among=set())
    assert is_ours(died.value.crash)
    await scene.run(1)


@scenario(1, 5)
async def test_a_job_that_cannot_be_packed_disturbs_nobody(scene: Scene) -> None:
    run = Run("x", f"{JOBS}:record", "default", 10**30, 0, "", 0.0, b"{}")
    with pytest.raises(OverflowError):
        await scene.pool.run(run, lambda _: None, on_start=lambda: None, among=set())
    await scene.run(1)


# --- cancelling ------------------------------------------------------------------------------------------------------


@scenario(1, 5)
async def test_a_cancelled_run_that_waits_never_begins_wherever_it_waits(scene: Scene) -> None:
    jobs = [scene.run(number, until=scene.gate.path) for number in range(7)]  # two more than a process may hold
    await scene.begun(0)
    for number in (2, 6):
        scene.pool.cancel(scene.assignments[number], 60)
        with pytest.raises(ProcessDied, match=CANCELLED):
            await jobs[number]
    scene.gate.open()
    await asyncio.gather(*(jobs[number] for number in (0, 1, 3, 4, 5)))
    assert begun(scene.log) == [0, 1, 3, 4, 5]


@scenario(1, 5)
async def test_a_cancelled_run_is_interrupted_and_its_process_goes_on_with_the_next(scene: Scene) -> None:
    running = scene.run(0, until=scene.gate.path)
    await scene.begun(0)
    behind = scene.run(1)
    scene.pool.cancel(scene.assignments[0], 60)
    await asyncio.gather(running, behind)
    assert [type(each.outcome) for each in scene.ended[0]] == [Cancelled]
    assert begun(scene.log) == [0, 1]
    assert not [event for event in scene.events if isinstance(event, ProcessExited)]


@scenario(1, 5)
async def test_a_cancelled_run_that_goes_on_is_killed_and_what_is_behind_it_runs(scene: Scene) -> None:
    deaf = scene.call(f"{JOBS}:deaf", str(scene.log), 0, number=0)
    await scene.begun(0)
    behind = scene.run(1)
    scene.pool.cancel(scene.assignments[0], 0.2)
    with pytest.raises(ProcessDied, match=CANCELLED):
        await deaf
    await behind
    assert begun(scene.log) == [0, 1]
