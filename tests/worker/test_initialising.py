"""What modules mark is run in its processes: once, in order, the rest at the end; a failure is a failure of the start."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.workers import written
from tests.support import eventually_async

from warren.errors import StartError
from warren.events import Event, Events, ProcessExited
from warren.hooks import Hook, process_init, warren_init
from warren.outcome import Done
from warren.worker.frames import Ended, Run
from warren.worker.initialising import HookFailed, Initialised, hooks_of
from warren.worker.pool import Pool
from warren.worker.setup import Setup

HOOKED = "tests.faults.hooked"


class Scene:
    """A pool of two whose module has hooks."""

    def __init__(self, folder: Path, start_method: str) -> None:
        self.log = folder / "log"
        self.events: list[Event] = []
        setup = Setup((HOOKED,), [str(Path.cwd()), *sys.path], "warning", "json", start_method)
        self.pool = Pool(2, setup, Events(self.events.append), on_counted=lambda _: None)

    async def made(self) -> dict[str, Any]:
        """What a process has made for itself, told by a job."""
        ended: list[Ended] = []
        run = Run("x", f"{HOOKED}:made", "default", 1, 0, "", 0.0, b'{"task":"made"}')
        await self.pool.run(run, ended.append, on_start=lambda: None, among=set())
        assert isinstance(ended[0].outcome, Done), ended
        found: dict[str, Any] = msgspec.json.decode(ended[0].outcome.result)
        return found

    def pids(self, what: str) -> list[int]:
        return [line["pid"] for line in written(self.log) if line["what"] == what]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, ProcessExited)]

    async def eventually(self, condition: Any) -> None:
        async def asked() -> bool:
            return bool(condition())

        await eventually_async(asked)


@asynccontextmanager
async def started(folder: Path, start_method: str = "forkserver") -> AsyncIterator[Scene]:
    async with asyncio.timeout(120):
        scene = Scene(folder, start_method)
        try:
            await scene.pool.start()
            await scene.eventually(lambda: scene.pool.counts == (2, 0, 0))
            yield scene
        finally:
            await scene.pool.stop()


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOKED_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_what_is_made_before_the_fork_is_made_once_and_shared(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as scene:
            made = await scene.made()
            (nursery,) = scene.pids("load")
            assert made["model"] == [nursery]
            assert made["parent"] == nursery
            assert made["frozen"] > 10_000, "what is shared is not written to by collecting garbage"
            assert sorted(scene.pids("connect")) == sorted(scene.pids("count"))
            assert len(set(scene.pids("connect"))) == 2
            assert made["connection"] == made["pid"]
            assert nursery not in scene.pids("connect")
            assert set(scene.reasons) == {"stopped"}, "those that were forked too early"
        assert scene.pids("load") == scene.pids("unload") == [nursery]
        assert sorted(scene.pids("connect")) == sorted(scene.pids("disconnect"))

    asyncio.run(scenario())


def test_a_process_that_is_replaced_ends_in_order_and_its_successor_is_prepared(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as scene:
            before = sorted(scene.pids("connect"))
            scene.pool.recycle()
            await scene.eventually(lambda: sorted(scene.pids("disconnect")) == before)
            assert len(scene.pids("load")) == 1
            assert len(set(scene.pids("connect"))) == 4

    asyncio.run(scenario())


def test_a_process_that_crashed_is_replaced_by_one_that_is_prepared(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as scene:
            victim = scene.pids("connect")[0]
            os.kill(victim, signal.SIGKILL)
            await scene.eventually(lambda: len(scene.pids("count")) == 3)
            assert victim not in scene.pids("disconnect")

    asyncio.run(scenario())


def test_a_new_nursery_prepares_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as scene:
            (nursery,) = scene.pids("load")
            os.kill(nursery, signal.SIGKILL)
            await scene.eventually(lambda: len(scene.pids("count")) == 4)
            assert len(scene.pids("load")) == 2
            assert (await scene.made())["parent"] == scene.pids("load")[1]

    asyncio.run(scenario())


def test_with_spawn_each_process_prepares_everything_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, "spawn") as scene:
            assert sorted(scene.pids("load")) == sorted(scene.pids("connect"))
            assert len(set(scene.pids("load"))) == 2
            assert scene.reasons == []
            made = await scene.made()
            assert made["model"] == [made["pid"]]
        assert sorted(scene.pids("load")) == sorted(scene.pids("unload"))

    asyncio.run(scenario())


@pytest.mark.parametrize(("what", "kind"), [("load", "warren_init"), ("count", "process_init")])
def test_a_hook_that_raises_is_a_worker_that_cannot_start(tmp_path: Path, what: str, kind: str) -> None:
    (tmp_path / f"log.{what}.fails").touch()

    async def scenario() -> None:
        async with started(tmp_path):
            pass

    with pytest.raises(StartError, match=f"{kind} '{HOOKED}:{what}' raised ConnectionError: {what} fails"):
        asyncio.run(scenario())


def test_a_process_that_fails_later_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as scene:
            fails = tmp_path / "log.connect.fails"
            fails.touch()
            os.kill(scene.pids("connect")[0], signal.SIGKILL)
            await scene.eventually(lambda: len(scene.pids("connect")) > 4)
            await scene.made()  # by the other
            fails.unlink()
            await scene.eventually(lambda: scene.pool.counts == (2, 0, 0))
            assert len(scene.pids("load")) == 1

    asyncio.run(scenario())


# --- alone


def generator(said: list[str], name: str, *, fails: bool = False, again: bool = False) -> Hook[Iterator[None]]:
    def steps() -> Iterator[None]:
        said.append(f"{name} begins")
        yield
        said.append(f"{name} ends")
        if fails:
            raise ValueError(name)
        if again:
            yield

    return process_init(steps)


def test_the_last_that_began_ends_first_and_none_is_stopped_by_another(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    initialised = Initialised()
    initialised.run([generator(said, "a"), generator(said, "b", fails=True), generator(said, "c", again=True)])
    with caplog.at_level(logging.ERROR):
        initialised.end()
    assert said == ["a begins", "b begins", "c begins", "c ends", "b ends", "a ends"]
    assert ["second yield" in line.getMessage() for line in caplog.records] == [True, False]


def test_what_has_run_does_not_run_again_when_another_had_failed() -> None:
    said: list[str] = []
    good = generator(said, "good")

    @process_init
    def bad() -> None:
        said.append("bad")
        if said.count("bad") == 1:
            raise ValueError("not yet")

    initialised = Initialised()
    with pytest.raises(HookFailed, match=r"process_init '.*bad' raised ValueError: not yet"):
        initialised.run([good, bad])
    initialised.run([good, bad])
    assert said == ["good begins", "bad", "bad"]


def test_hooks_are_found_once_however_often_they_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_hooks.py").write_text(
        "from warren.hooks import process_init, warren_init\n"
        "def f(): ...\n"
        "def g(): ...\n"
        "one, two, three = process_init(g), warren_init(f), process_init(f)\n"
    )
    (tmp_path / "second_hooks.py").write_text("from first_hooks import *\n")
    monkeypatch.syspath_prepend(tmp_path)
    modules = ("first_hooks", "second_hooks")
    found = hooks_of(modules, "process_init")
    assert [hook.function.__name__ for hook in found] == ["g", "f"]
    assert [hook.function.__name__ for hook in hooks_of(modules, "warren_init")] == ["f"]
    assert warren_init(found[1].function) not in found
