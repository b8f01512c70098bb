"""A pool that cannot start says so; one that cannot start a process for a while has it all the same, later."""

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.faults.workers import written
from tests.support import eventually_async
from tests.worker.test_pool import Scene, scenario

from warren.errors import StartError
from warren.events import Events, ProcessNotStarted
from warren.worker import Worker, keeper
from warren.worker.chores import Chores
from warren.worker.pool import Pool
from warren.worker.setup import Setup

JOBS = "tests.faults.jobs"
HOOKED = "tests.faults.hooked"
SPARE_DESCRIPTORS = range(16)
"""From none at all to more than a process needs."""


def test_a_nursery_that_dies_as_it_starts_is_an_error_and_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def ends_at_once(_: object, **options: Any) -> subprocess.Popen[bytes]:
        program = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], **options)
        started.append(program.pid)
        return program

    monkeypatch.setattr(keeper, "start_program", ends_at_once)
    worker = Worker([JOBS], url="memory://nursery", processes=2, http_port=-1)
    with pytest.raises(StartError, match="nursery dies as it starts"):
        worker.run()
    assert len(started) == 3


def test_a_nursery_that_cannot_be_started_at_all_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(keeper, "start_program", fails)
    worker = Worker([JOBS], url="memory://nursery", processes=1, http_port=-1)
    with pytest.raises(StartError, match=r"cannot be started: \[Errno 12\] Cannot allocate memory"):
        worker.run()


@scenario(2, 1)
async def test_a_nursery_that_cannot_be_started_again_is_tried_until_it_can(scene: Scene) -> None:
    refused: list[object] = []

    def fails_twice(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        if len(refused) < 2:
            refused.append(command)
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return subprocess.Popen(command, **options)

    before = descriptors()
    died = scene.pool._supervisor._lifeline._keeper
    assert died is not None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keeper, "start_program", fails_twice)
        os.kill(died.pid, signal.SIGKILL)
        await eventually(lambda: len(refused) == 2)
        await eventually(lambda: scene.pool.counts == (2, 0, 0))
    assert {"Resource temporarily unavailable" in each.error for each in not_started(scene)} == {True}
    await asyncio.gather(scene.run(1), scene.run(2))
    await eventually(lambda: descriptors() == before)


@scenario(1, 1)
async def test_without_descriptors_a_process_comes_later_and_none_of_them_is_lost(scene: Scene) -> None:
    before = descriptors()
    for spare in SPARE_DESCRIPTORS:
        failed = len(not_started(scene))
        with only_descriptors(spare):
            scene.pool.resize(2)
            await eventually(lambda: len(not_started(scene)) > failed or scene.pool.counts == (2, 0, 0))  # noqa: B023
        await eventually(lambda: scene.pool.counts == (2, 0, 0))
        scene.pool.resize(1)
        await eventually(lambda: len(list(scene.pool.roster)) == 1)
        await eventually(lambda: descriptors() == before, f"with {spare} they are as many as before: {descriptors()}")
    assert len(not_started(scene)) >= len(SPARE_DESCRIPTORS) // 2


@scenario(1, 1)
async def test_a_successor_for_which_there_is_no_room_holds_up_no_renewal(scene: Scene) -> None:
    (old,) = scene.pool.roster
    with only_descriptors(1):
        scene.pool.recycle()
        await eventually(lambda: not_started(scene))
    await eventually(lambda: list(scene.pool.roster) != [old] and len(list(scene.pool.roster)) == 1)
    await scene.run(1)


def test_what_stands_after_the_yield_is_run_though_the_only_process_had_died_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKED_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("HOOKED_DISCONNECT_SECONDS", "0.5")

    def pids(what: str) -> list[int]:
        return [line["pid"] for line in written(tmp_path / "log") if line["what"] == what]

    async def whole() -> None:
        setup = Setup((HOOKED,), [str(Path.cwd()), *sys.path], "warning", "json", "forkserver")
        pool = Pool(1, setup, Events(), on_counted=lambda _: None)
        await pool.start()
        await eventually(lambda: pool.counts == (1, 0, 0))
        os.kill(pids("connect")[0], signal.SIGKILL)
        await eventually(lambda: len(pids("count")) == 2 and pool.counts == (1, 0, 0))
        await pool.stop()
        assert pids("disconnect") == pids("connect")[-1:]

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_a_chore_that_fails_is_logged() -> None:
    async def fails() -> None:
        raise ValueError("this one")

    async def whole() -> None:
        chores = Chores()
        chores.do(fails())
        await eventually(lambda: logged)

    with structlog.testing.capture_logs() as logged:
        asyncio.run(whole())
    assert [str(line["exc_info"]) for line in logged] == ["this one"]


def not_started(scene: Scene) -> list[ProcessNotStarted]:
    return [event for event in scene.events if isinstance(event, ProcessNotStarted)]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def only_descriptors(spare: int) -> Iterator[None]:
    """Let this process open so many more, and no others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare + 2, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for fd in taken[len(taken) - spare :]:
            os.close(fd)
        del taken[len(taken) - spare :]
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def eventually(condition: Any, message: str = "") -> None:
    async def asked() -> bool:
        return bool(condition())

    await eventually_async(asked, message=message)
