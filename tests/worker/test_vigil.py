"""Processes that hang are found while they start, while they have nothing to do and when they should end, and only then."""

import asyncio
import os
import signal

import psutil
from tests.worker.test_pool import Scene, scenario
from tests.worker.test_resize import eventually, exits, pids
from tests.worker.test_roster import process

from warren.events import Event, Events, ProcessExited, ProcessSilent
from warren.worker.blame import DOES_NOT_ANSWER
from warren.worker.roster import Roster
from warren.worker.vigil import Patience, Vigil

QUICK = Patience(look=0.05, ask=0.1, answer=1.0, end=1.0)


def silent(scene: Scene) -> list[tuple[int, str]]:
    return [(event.pid, event.state) for event in scene.events if isinstance(event, ProcessSilent)]


@scenario(2, 1, patience=QUICK)
async def test_an_idle_process_that_was_stopped_is_replaced(scene: Scene) -> None:
    stuck, *_ = sorted(pids(scene))
    os.kill(stuck, signal.SIGSTOP)
    await eventually(lambda: exits(scene) == [(stuck, "killed")])
    assert silent(scene) == [(stuck, "idle")]
    (exited,) = [event for event in scene.events if isinstance(event, ProcessExited)]
    assert DOES_NOT_ANSWER in exited.detail
    await eventually(lambda: scene.pool.counts == (2, 0, 0))


@scenario(1, 1, patience=QUICK)
async def test_a_job_that_was_given_to_a_stopped_process_goes_to_the_next_uncharged(scene: Scene) -> None:
    (stuck,) = pids(scene)
    os.kill(stuck, signal.SIGSTOP)
    await scene.run(0)
    assert exits(scene) == [(stuck, "killed")]
    assert len(scene.ended[0]) == 1


@scenario(1, 5, patience=QUICK)
async def test_one_that_runs_something_is_left_alone_however_long_it_takes(scene: Scene) -> None:
    jobs = [scene.run(0, until=scene.gate.path), scene.run(1)]
    (busy,) = pids(scene)
    await scene.begun(0)
    os.kill(busy, signal.SIGSTOP)
    looks = 0
    look = scene.pool._vigil.look

    def counted() -> None:
        nonlocal looks
        looks += 1
        look()

    scene.pool._vigil.look = counted  # type: ignore[method-assign]
    await eventually(lambda: looks > 40, "twice as long as an answer may take")
    assert (silent(scene), exits(scene)) == ([], [])
    os.kill(busy, signal.SIGCONT)
    scene.gate.open()
    await asyncio.gather(*jobs)


@scenario(1, 1, patience=QUICK)
async def test_one_that_answers_is_asked_again_and_again_and_stays(scene: Scene) -> None:
    (one,) = scene.pool._supervisor.roster
    assert one._turns is not None
    numbers = one._turns._numbers
    before = next(numbers)
    await eventually(lambda: next(numbers) - before > 30)
    assert (silent(scene), exits(scene)) == ([], [])
    await scene.run(0)


@scenario(1, 1, patience=QUICK)
async def test_one_that_does_not_end_when_it_should_is_killed(scene: Scene) -> None:
    (old,) = pids(scene)
    job = scene.run(0, until=scene.gate.path)
    await scene.begun(0)
    scene.pool.recycle()
    await eventually(lambda: scene.pool.counts == (1, 0, 0))
    (one,) = scene.pool._supervisor.roster.leaving
    one.tell = lambda message: None  # type: ignore[method-assign]
    scene.gate.open()
    await job
    await eventually(lambda: exits(scene) == [(old, "killed")])
    assert silent(scene) == [(old, "leaving")]
    assert not psutil.pid_exists(old)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A vigil over one process, with a clock of its own."""

    def __init__(self) -> None:
        self.process = process(0)
        self.events: list[Event] = []
        self.killed: list[str] = []
        self.clock = Clock()
        self.vigil = Vigil(
            Roster({0: self.process}),
            lambda _, why: self.killed.append(why),
            Events(self.events.append),
            clock=self.clock,
        )

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.vigil.look()


def test_a_process_that_does_not_come_to_its_start_is_told_of_ever_more_rarely_and_not_killed() -> None:
    bench = Bench()
    bench.passes(600)
    assert [round(event.seconds) for event in bench.events if isinstance(event, ProcessSilent)] == [60, 120, 240, 480]
    assert bench.killed == []


def test_time_in_which_the_worker_itself_was_stopped_counts_for_nobody() -> None:
    bench = Bench()
    bench.passes(10)
    bench.clock.now += 3600
    bench.passes(48)
    assert bench.events == []
    bench.passes(10)
    assert len(bench.events) == 1
