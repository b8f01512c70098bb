"""Coroutine jobs: many at a time in a process, each with its own context, outcome and blame; plain ones beside them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import msgspec
import psutil
import pytest
from tests.faults.workers import Gate, begun, written
from tests.support import eventually_async

from warren.events import Event, Events, JobProgress, LoopBlocked, ProcessExited
from warren.job import Body
from warren.outcome import Cancelled, Crashed, Done, Failed, Outcome, Rejected
from warren.worker.assignment import Assignment, Awaited, ProcessDied
from warren.worker.blame import BLOCKS, DOES_NOT_ANSWER, NEIGHBOUR, charges
from warren.worker.fanout import Chunk, Pace, run_chunk
from warren.worker.frames import Ended, Run, TaskInfo
from warren.worker.pool import Pool
from warren.worker.setup import Setup

JOBS = "tests.faults.coroutine_jobs"


class Scene:
    """A pool with an event loop in each process, and a file in which the jobs write down what they do."""

    def __init__(self, pool: Pool, folder: Path, events: list[Event]) -> None:
        self.pool = pool
        self.events = events
        self.log = folder / "log"
        self.gate = Gate(folder)
        self.running: list[int] = []
        """How many coroutine jobs were running, as that changed."""
        self.assignments: list[Assignment] = []

    def run(self, name: str, *args: object, kill_after: float | None = None) -> "asyncio.Future[Outcome]":
        """Run a task of the module; the future has its outcome."""
        task = f"{JOBS}:{name}"
        run = Run(name + str(len(self.assignments)), task, "q", 1, 0, "", 0.0, _body(task, *args))
        ended: list[Ended] = []
        work = Awaited(lambda: None, ended.append)
        self.assignments.append(self.pool.submit(run, work, kill_after=kill_after))

        async def outcome() -> Outcome:
            await work.done
            (only,) = ended
            return only.outcome

        return asyncio.ensure_future(outcome())

    async def begun(self, *numbers: int) -> None:
        await eventually_async(
            lambda: _true(sorted(begun(self.log)) == sorted(numbers)), message=f"{numbers} have begun"
        )

    @property
    def pids(self) -> set[int]:
        return {process.pid for process in self.pool._supervisor.roster.in_place.values()}


def _body(task: str, *args: object) -> bytes:
    return json.dumps({"task": task, "args": args}).encode()


async def _true(value: object) -> bool:
    return bool(value)


@asynccontextmanager
async def a_pool(folder: Path, size: int, coroutines: int) -> AsyncIterator[Scene]:
    setup = Setup((JOBS,), [str(folder), str(Path.cwd()), *sys.path], "warning", "json", "fork", coroutines)
    events: list[Event] = []
    running: list[int] = []
    pool = Pool(size, setup, Events(events.append), on_counted=lambda _: None, on_coroutines=running.append)
    await pool.start()
    await eventually_async(lambda: _true(pool.counts[0] == size), message="all processes are there")
    try:
        scene = Scene(pool, folder, events)
        scene.running = running
        yield scene
    finally:
        await pool.stop()


def scenario(size: int, coroutines: int) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[Path], None]]:
    def decorated(test: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
        async def whole(folder: Path) -> None:
            async with asyncio.timeout(120), a_pool(folder, size, coroutines) as scene:
                await test(scene)

        def run(tmp_path: Path) -> None:
            asyncio.run(whole(tmp_path))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorated


@scenario(2, 3)
async def test_each_process_has_so_many_at_a_time_and_the_rest_waits(scene: Scene) -> None:
    jobs = [scene.run("record", str(scene.log), number, scene.gate.path) for number in range(8)]
    await scene.begun(*range(6))
    assert [len(process.loop.running) for process in scene.pool._supervisor.roster.in_place.values()] == [3, 3]
    scene.gate.open()
    assert [await job for job in jobs] == [Done(str(number).encode()) for number in range(8)]
    assert max(scene.running) == 6
    assert scene.running[-1] == 0


@scenario(1, 4)
async def test_what_waits_for_a_place_can_be_withdrawn_and_never_runs(scene: Scene) -> None:
    jobs = [scene.run("record", str(scene.log), number, scene.gate.path) for number in range(6)]
    await scene.begun(0, 1, 2, 3)
    scene.assignments[4].withdrawn = True
    scene.gate.open()
    await asyncio.gather(*jobs[:4], jobs[5])
    assert 4 not in begun(scene.log)
    jobs[4].cancel()


@scenario(1, 5)
async def test_each_job_knows_itself_and_its_threads_do(scene: Scene) -> None:
    jobs = [scene.run("who", 0.02 * number) for number in range(5)]
    for number, job in enumerate(jobs):
        assert await job == Done(msgspec.json.encode([f"who{number}"] * 3))
    told = {event.job_id for event in scene.events if isinstance(event, JobProgress)}
    assert told == {f"who{number}" for number in range(5)}


@scenario(1, 5)
async def test_a_plain_job_runs_beside_coroutines_and_stops_none(scene: Scene) -> None:
    plain = scene.run("record_plainly", str(scene.log), 1, scene.gate.path)
    await scene.begun(1)
    assert [await scene.run("nap", number, 0.001) for number in range(5)] == [
        Done(b"%d" % number) for number in range(5)
    ]
    assert not plain.done()
    scene.gate.open()
    assert await plain == Done(b"1")


@scenario(1, 5)
async def test_coroutines_go_on_beside_a_plain_job_that_computes(scene: Scene) -> None:
    long = scene.run("record", str(scene.log), 1, scene.gate.path)
    await scene.begun(1)
    assert await scene.run("record_plainly", str(scene.log), 2) == Done(b"2")
    scene.gate.open()
    assert await long == Done(b"1")


@pytest.mark.parametrize("in_subtask", [False, True], ids=["itself", "in a task that it makes"])
def test_only_the_job_whose_step_it_was_is_charged_with_the_death_of_its_process(
    tmp_path: Path, in_subtask: bool
) -> None:
    @scenario(1, 5)
    async def test(scene: Scene) -> None:
        others = [scene.run("record", str(scene.log), number, scene.gate.path + "x") for number in range(3)]
        deadly = scene.run("kill_process", str(scene.log), 9, scene.gate.path, in_subtask)
        await scene.begun(0, 1, 2, 9)
        scene.gate.open()
        with pytest.raises(ProcessDied) as died:
            await deadly
        assert (died.value.crash.signal, died.value.crash.killed_for) == (signal.SIGKILL, "")
        for other in others:
            with pytest.raises(ProcessDied) as taken_along:
                await other
            assert taken_along.value.crash.killed_for == NEIGHBOUR
        assert await scene.run("nap", 1, 0.0) == Done(b"1")

    test(tmp_path)


@scenario(1, 5)
async def test_a_coroutine_that_swallows_everything_is_killed_and_its_neighbours_are_not_charged(scene: Scene) -> None:
    other = scene.run("record", str(scene.log), 1, scene.gate.path)
    plain = scene.run("record_plainly", str(scene.log), 2, scene.gate.path)
    await scene.begun(1, 2)
    killed = scene.run("stubborn", str(scene.log), 3, kill_after=0.3)
    with pytest.raises(ProcessDied) as died:
        await killed
    assert died.value.crash.killed_for == "over its kill_after of 0.3 s"
    for neighbour in (other, plain):
        with pytest.raises(ProcessDied) as taken_along:
            await neighbour
        assert taken_along.value.crash.killed_for == NEIGHBOUR
    (exited,) = [event for event in scene.events if isinstance(event, ProcessExited)]
    assert exited.reason == "killed"


@scenario(1, 5)
async def test_a_process_killed_from_outside_charges_the_one_job_that_it_had(scene: Scene) -> None:
    only = scene.run("record", str(scene.log), 1, scene.gate.path)
    await scene.begun(1)
    (pid,) = scene.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProcessDied) as died:
        await only
    assert died.value.crash.killed_for == ""
    assert scene.running[-1] == 0, "its place is told to be free before another process has it"


@scenario(1, 5)
async def test_a_cancelled_coroutine_cleans_up_and_a_shielded_part_goes_on(scene: Scene) -> None:
    job = scene.run("clean_up", str(scene.log), 1)
    await scene.begun(1)
    scene.pool.ending.interrupt(scene.assignments[0], "nobody needs it")
    assert await job == Cancelled("nobody needs it")
    assert written(scene.log)[-1] == {"number": 1, "finally_runs": True, "shielded": "shielded"}


@scenario(1, 5)
async def test_a_cancelled_plain_job_is_interrupted_and_the_next_one_is_not(scene: Scene) -> None:
    first = scene.run("record_plainly", str(scene.log), 1, scene.gate.path)
    await scene.begun(1)
    scene.pool.ending.interrupt(scene.assignments[0], "")
    assert isinstance(await first, Cancelled)
    second = scene.run("record_plainly", str(scene.log), 2, scene.gate.path)
    await scene.begun(1, 2)
    (pid,) = scene.pids
    os.kill(pid, signal.SIGUSR1)  # one that comes late
    scene.pool.ending.interrupt(scene.assignments[0], "")
    scene.gate.open()
    assert await second == Done(b"2")


@scenario(1, 5)
async def test_exiting_ends_a_job_and_never_the_loop(scene: Scene) -> None:
    other = scene.run("record", str(scene.log), 1, scene.gate.path)
    before = scene.pids
    outcomes = [await scene.run("call_exit", in_subtask) for in_subtask in (False, True)]
    assert [str(outcome.failure) for outcome in outcomes if isinstance(outcome, Failed)] == [
        "SystemExit: no more",
        "RuntimeError: a task of the job raised SystemExit: not this one either",
    ]
    scene.gate.open()
    assert await other == Done(b"1")
    assert scene.pids == before


@scenario(2, 8)
async def test_the_items_of_a_map_over_a_coroutine_run_beside_each_other(scene: Scene) -> None:
    task = f"{JOBS}:nap"
    body = Body(task, [], {"seconds": msgspec.Raw(b"0.05")}, items=[msgspec.Raw(b"%d" % n) for n in range(50)])
    run = Run("map", task, "q", 1, 0, "", 0.0, b"")
    info: TaskInfo = scene.pool.tasks[task]
    outcomes = await run_chunk(scene.pool, Chunk(run, body, Pace()), info, lambda: None)
    assert not outcomes.others
    values = msgspec.json.decode(b"{%b}" % b"".join(outcomes.done)[:-1], type=dict[int, int])
    assert values == {number: number for number in range(50)}
    assert max(scene.running) == 16


@scenario(1, 5)
async def test_a_coroutine_that_blocks_its_loop_is_named_with_its_stack_and_the_rest_goes_on(scene: Scene) -> None:
    others = [scene.run("nap", number, 0.01) for number in range(2)]
    blocking = scene.run("block", str(scene.log), scene.gate.path)
    await eventually_async(lambda: _true(any(isinstance(event, LoopBlocked) for event in scene.events)))
    scene.gate.open()
    assert [await job for job in (*others, blocking)] == [Done(b"0"), Done(b"1"), Done(b"-1")]
    (told,) = [event for event in scene.events if isinstance(event, LoopBlocked)]
    assert (told.job_id, told.task, {told.pid}) == ("block2", f"{JOBS}:block", scene.pids)
    assert told.seconds > 1
    assert "in wait_for" in told.stack.splitlines()[1]
    assert "coroutine_jobs.py" in told.stack.splitlines()[2]


@scenario(1, 5)
async def test_coroutines_that_only_wait_block_nothing(scene: Scene) -> None:
    waiting = scene.run("record", str(scene.log), 1, scene.gate.path)
    await scene.begun(1)
    await asyncio.gather(*(scene.run("nap", number, 0.4) for number in range(20)))
    scene.gate.open()
    await waiting
    assert not [event for event in scene.events if isinstance(event, LoopBlocked)]


def test_uvloop_is_used_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("import asyncio\nclass new_event_loop(asyncio.SelectorEventLoop): pass\n")

    @scenario(1, 2)
    async def test(scene: Scene) -> None:
        assert await scene.run("which_loop") == Done(b'"uvloop"')

    test(tmp_path)


@scenario(1, 2)
async def test_without_uvloop_it_is_asyncios_loop(scene: Scene) -> None:
    outcome = await scene.run("which_loop")
    assert outcome == Done(b'"uvloop"' if find_spec("uvloop") else b'"asyncio.unix_events"')


@scenario(1, 5)
async def test_what_types_raise_while_they_are_rebuilt_ends_the_job(scene: Scene) -> None:
    assert await scene.run("take_picky", {"number": -1}) == Rejected("invalid_arguments", "KeyError: 'no such number'")
    assert await scene.run("take_picky", {"number": 1}) == Done(b"1")


@scenario(1, 5)
async def test_a_job_that_is_cancelled_before_its_first_step_has_its_outcome(scene: Scene) -> None:
    (pid,) = scene.pids
    process = psutil.Process(pid)
    process.suspend()  # so that it reads both in one go
    await eventually_async(lambda: _true(process.status() == psutil.STATUS_STOPPED), message="it is stopped")
    job = scene.run("record", str(scene.log), 1, scene.gate.path)
    scene.pool.ending.interrupt(scene.assignments[0], "at once")
    process.resume()
    assert await job == Cancelled("at once")
    assert not begun(scene.log)


@scenario(1, 5)
async def test_progress_that_is_no_whole_number_fails_its_job_and_nothing_else(scene: Scene) -> None:
    before = scene.pids
    outcome = await scene.run("half_done", 0.5)
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "TypeError"
    assert scene.pids == before


@scenario(1, 5)
async def test_who_blocks_the_loop_is_charged_and_not_who_is_over_its_time_meanwhile(scene: Scene) -> None:
    other = scene.run("record", str(scene.log), 1, scene.gate.path, kill_after=2.5)
    await scene.begun(1)
    blocking = scene.run("block", str(scene.log), scene.gate.path)
    with pytest.raises(ProcessDied) as died:
        await blocking
    assert died.value.crash.killed_for == BLOCKS
    with pytest.raises(ProcessDied) as taken_along:
        await other
    assert taken_along.value.crash.killed_for == NEIGHBOUR


@scenario(1, 5)
async def test_a_process_is_killed_for_the_first_reason_unless_the_worker_stops(scene: Scene) -> None:
    jobs = [scene.run("record", str(scene.log), number, scene.gate.path) for number in range(2)]
    await scene.begun(0, 1)
    for number, assignment in enumerate(scene.assignments):
        scene.pool.ending.kill(assignment, f"reason {number}")
    told = []
    for job in jobs:
        with pytest.raises(ProcessDied) as died:
            await job
        told.append(died.value.crash.killed_for)
    assert told == ["reason 0", NEIGHBOUR]


def test_who_keeps_its_process_from_answering_is_charged_for_that() -> None:
    held = [Assignment(cast("Any", None), b"", cast("Any", None), False, number=n, in_loop=True) for n in (1, 2)]
    told = charges(Crashed(9, None, 0, DOES_NOT_ANSWER), held, None, 2)
    assert [crash.killed_for for _, crash in told] == [NEIGHBOUR, BLOCKS]
    told = charges(Crashed(9, None, 0, DOES_NOT_ANSWER), held, None, 0)
    assert [crash.killed_for for _, crash in told] == [DOES_NOT_ANSWER] * 2


@scenario(1, 5)
async def test_stacks_show_what_each_coroutine_waits_for(scene: Scene) -> None:
    deep = scene.run("wait_deeply", str(scene.log), scene.gate.path)
    plain = scene.run("record_plainly", str(scene.log), 1, scene.gate.path)
    await scene.begun(0, 1)
    text = (await scene.pool.stacks(60))[0]
    threads, _, chain = text.partition(f"Coroutine job wait_deeply0 {JOBS}:wait_deeply\n")
    assert "in wait_for" in threads
    functions = [line.rpartition(" in ")[2] for line in chain.splitlines() if line.startswith("  File ")]
    assert functions[:4] == ["wait_deeply", "_outer", "_inner", "gate"]
    assert "coroutine_jobs.py" in chain
    assert "waits for" in chain.splitlines()[-1]
    scene.gate.open()
    await asyncio.gather(deep, plain)


@scenario(1, 5)
async def test_a_loop_that_does_not_answer_is_told_of_with_its_thread(scene: Scene) -> None:
    blocking = scene.run("block", str(scene.log), scene.gate.path)
    await scene.begun(-1)
    text = (await scene.pool.stacks(1.0))[0]
    assert "in wait_for" in text
    assert "does not answer" in text
    scene.gate.open()
    await blocking
