"""What is left of a process that died: its last output, its Python stack, how it ended; and where those are that hang."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.workers import Gate, written
from tests.support import eventually_async

from warren.events import Event, Events, ProcessExited
from warren.outcome import Crashed
from warren.worker.assignment import ProcessDied
from warren.worker.frames import Run
from warren.worker.pool import Pool
from warren.worker.setup import Setup

DEADLY = "tests.faults.deadly"


class Scene:
    """A pool of the deadly tasks."""

    def __init__(self, pool: Pool, events: list[Event], folder: Path) -> None:
        self.pool, self.events = pool, events
        self.log, self.gate = folder / "log", Gate(folder)
        self._numbers = iter(range(1_000_000))

    async def run(self, task: str, *args: object, kill_after: float | None = None) -> None:
        """Run a task to its end."""
        name, number = f"{DEADLY}:{task}", next(self._numbers)
        run = Run(str(number), name, "q", 1, 0, "", 0.0, json.dumps({"task": name, "args": args}).encode())
        await self.pool.run(run, lambda _: None, on_start=lambda: None, kill_after=kill_after, among=set())

    async def crash(self, task: str, *args: object, kill_after: float | None = None) -> Crashed:
        """Run a task that does not survive it."""
        with pytest.raises(ProcessDied) as died:
            await self.run(task, *args, kill_after=kill_after)
        return died.value.crash


@asynccontextmanager
async def a_scene(folder: Path, size: int, depth: int, start_method: str) -> AsyncIterator[Scene]:
    setup = Setup((DEADLY,), [str(Path.cwd()), *sys.path], "warning", "json", start_method)
    events: list[Event] = []
    pool = Pool(size, setup, Events(events.append), on_counted=lambda _: None, depth=lambda: depth)
    await pool.start()
    await eventually_async(lambda: _are(pool.counts[0], size), message="all processes are there")
    try:
        yield Scene(pool, events, folder)
    finally:
        await pool.stop()


def scenario(
    size: int = 1, *, depth: int = 1, start_method: str = "fork"
) -> Callable[[Callable[[Scene], Awaitable[None]]], Callable[[Path], None]]:
    def decorated(test: Callable[[Scene], Awaitable[None]]) -> Callable[[Path], None]:
        async def whole(folder: Path) -> None:
            async with asyncio.timeout(120), a_scene(folder, size, depth, start_method) as scene:
                await test(scene)

        def run(tmp_path: Path) -> None:
            asyncio.run(whole(tmp_path))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorated


def check_output(crash: Crashed, how: str) -> None:
    for said in (f"python says {how}\n", "c says so\n", "a program says so\n", f"last words before {how}"):
        assert said in crash.output


@scenario()
async def test_what_was_said_just_before_a_kill_is_known(scene: Scene) -> None:
    crash = await scene.crash("say_and_die", "SIGKILL")
    check_output(crash, "SIGKILL")
    assert (crash.signal, crash.stack, crash.oom is True) == (9, "", False)


@scenario(start_method="spawn")
async def test_processes_that_were_spawned_tell_as_much(scene: Scene) -> None:
    crash = await scene.crash("say_and_die", "SIGSEGV")
    check_output(crash, "SIGSEGV")
    assert "in die" in crash.stack


@scenario()
async def test_a_fatal_signal_leaves_the_python_stack_of_the_task_alone(scene: Scene) -> None:
    for how, number, told in (("SIGSEGV", 11, "Segmentation fault"), ("SIGABRT", 6, "Aborted")):
        crash = await scene.crash("say_and_die", how)
        check_output(crash, how)
        assert crash.signal == number
        assert crash.stack.startswith(f"Fatal Python error: {told}")
        assert "deadly.py" in crash.stack
        assert crash.stack.index("in die") < crash.stack.index("in say_and_die")
        assert "attempt.py" not in crash.stack


@scenario()
async def test_a_coroutine_leaves_as_much(scene: Scene) -> None:
    crash = await scene.crash("say_and_die_in_a_coroutine", "SIGSEGV")
    assert crash.output == "a coroutine says SIGSEGV\n"
    first, second, *_ = crash.stack.partition("\n\n")[2].split("\n\n")
    assert "in die" in first
    assert first.splitlines()[-1].endswith("in say_and_die_in_a_coroutine")
    assert "(no task runs in it)" in second


@scenario()
async def test_an_exit_leaves_its_code_and_its_output(scene: Scene) -> None:
    crash = await scene.crash("say_and_die", "exit")
    check_output(crash, "exit")
    assert (crash.signal, crash.exit_code, crash.stack) == (None, 3, "")


def test_the_output_of_an_earlier_job_is_nobodys_evidence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []

    async def has_arrived() -> bool:
        heard.append(capfd.readouterr().out)
        return "".join(heard).count("an earlier job says") == 20

    @scenario(depth=5)
    async def whole(scene: Scene) -> None:
        for number in range(20):
            await scene.run("say", f"an earlier job says {number}")
        await eventually_async(has_arrived)
        assert (await scene.crash("die_silently")).output == ""

    whole(tmp_path)


@scenario()
async def test_a_process_that_is_replaced_has_a_box_of_its_own(scene: Scene) -> None:
    assert (await scene.crash("say_and_die", "SIGSEGV")).stack
    again = await scene.crash("die_silently")
    assert (again.output, again.stack) == ("", "")


@pytest.mark.parametrize(
    ("where", "frame"),
    [("loop", "_hang_in_a_loop"), ("sleep", "_hang_asleep"), ("C", "_hang_in_c"), ("thread", "_hang_in_a_thread")],
)
def test_who_is_killed_for_hanging_has_told_where(where: str, frame: str, tmp_path: Path) -> None:
    @scenario()
    async def whole(scene: Scene) -> None:
        crash = await scene.crash("hang", where, str(scene.log), kill_after=0.3)
        first = crash.stack.splitlines()
        assert any(f"in {frame}" in line for line in first), crash.stack
        assert crash.stack.index(f"in {frame}") < crash.stack.index("in hang")
        assert "attempt.py" not in crash.stack
        assert crash.killed_for.startswith("over its kill_after")
        exited = [event for event in scene.events if isinstance(event, ProcessExited)]
        assert [(event.reason, "deadly.py" in event.where or where == "thread") for event in exited] == [
            ("killed", True)
        ]

    whole(tmp_path)


@scenario(size=3)
async def test_stacks_of_all_processes_can_be_asked_for_at_any_moment(scene: Scene) -> None:
    waiting = asyncio.ensure_future(scene.run("wait_in_a_function", scene.gate.path, str(scene.log)))
    stuck = asyncio.ensure_future(scene.crash("hang", "C", str(scene.log)))
    await eventually_async(lambda: _are(len(written(scene.log)), 2))
    for _ in range(20):
        stacks = await scene.pool.stacks(60)
        assert sorted(stacks) == [0, 1, 2]
        assert sum("in _wait_here" in stack for stack in stacks.values()) == 1
        assert sum("in _hang_in_c" in stack for stack in stacks.values()) == 1
        assert sum("in _" not in stack and "no task runs in it" in stack for stack in stacks.values()) == 1
    together = await asyncio.gather(scene.pool.stacks(60), scene.pool.stacks(60))
    assert together[0] == together[1]
    scene.gate.open()
    await waiting
    scene.pool.kill_busy("the test is over")
    assert "in _hang_in_c" in (await stuck).stack


@scenario()
async def test_who_does_not_answer_is_not_waited_for(scene: Scene) -> None:
    waiting = asyncio.ensure_future(scene.run("wait_in_a_function", scene.gate.path, str(scene.log)))
    await eventually_async(lambda: _are(len(written(scene.log)), 1))
    pid = written(scene.log)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert await scene.pool.stacks(0.1) == {0: ""}
    os.kill(pid, signal.SIGCONT)
    assert "in _wait_here" in (await scene.pool.stacks(60))[0]
    scene.gate.open()
    await waiting


async def _are(value: object, expected: object) -> bool:
    return value == expected
