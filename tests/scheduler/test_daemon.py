"""A scheduler at work on a broker in memory: it fires, hears how jobs end, and goes on when something is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support import eventually_async

from warren import control, result
from warren.amqp import memory
from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection, Delivery, Message, Settle
from warren.control import CancelJobs
from warren.errors import InvalidSchedule, StartError
from warren.events import Event, Leading
from warren.events_history import NotRecorded
from warren.events_schedules import ScheduleDelayed, ScheduleFired, ScheduleGivenUp, SchedulesRead, StoreAway
from warren.job import Body, Job, from_message, to_message
from warren.result import Result
from warren.schedule import Interval, Misfire, Order, Overlap, Schedule, Spec
from warren.scheduler import Schedules, firing
from warren.scheduler.daemon import Scheduler
from warren.scheduler.endings import end_of
from warren.scheduler.schedules import claimed
from warren.settings import Settings
from warren.states import JobState
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import Fire, FireState
from warren.topology import Binding, Exchange, Names, Queue, work_queue

NAMES = Names("w")


@pytest.fixture(autouse=True)
def _broker() -> Any:
    yield
    memory.reset("schedules")


@dataclass
class Scene:
    """A scheduler, its store, and somebody who takes its jobs."""

    database: Database
    connection: Connection
    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)

    @property
    def schedules(self) -> Schedules:
        return Schedules(self.database)

    def fires(self, name: str = "tick") -> list[Fire]:
        return list(reversed(self.schedules.fired(name, 100)))

    async def consume(self, queue: str = "ticks") -> None:
        def take(delivery: Delivery) -> None:
            self.jobs.append(from_message(delivery.message, queue, time.time()))
            self.connection.settle(delivery, Settle.ACK)

        await self.connection.declare(*work_queue(NAMES, queue))
        await self.connection.consume(NAMES.queue(queue), take)

    async def end(self, job: Job, state: JobState) -> None:
        """Tell how a job has ended, as a worker does."""
        message, key = result.to_message(Result(job.id, job.task, job.queue, state, 1, time.time()), job)
        await self.connection.publish(message, NAMES.results, key)

    async def until(self, condition: Callable[[], Any], message: str = "") -> Any:
        async def ask() -> Any:
            return condition()

        return await eventually_async(ask, message=message)

    @asynccontextmanager
    async def running(self, *modules: str) -> AsyncIterator[None]:
        scheduler = Scheduler(modules, self.settings, self.events.append)
        serving = asyncio.create_task(scheduler._service.serve(scheduler._work))
        leading = asyncio.create_task(self.until(lambda: any(isinstance(each, Leading) for each in self.events)))
        await asyncio.wait([serving, leading], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
        finally:
            leading.cancel()
            scheduler.stop()
            await serving


def play(tmp_path: Path, scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    store = f"sqlite:///{tmp_path / 'warren.db'}"
    settings = Settings(url="memory://schedules", namespace="w", store=store, http_port=-1)
    database = Database(store)
    database.migrate()

    async def run() -> Scene:
        connection = await connect_any(settings.urls, "pika", name="test", heartbeat=30, timeout=5)
        scene = Scene(database, connection, settings=settings)
        try:
            await scenario(scene)
        finally:
            await connection.close()
        return scene

    try:
        return asyncio.run(run())
    finally:
        database.close()


def test_a_schedule_fires_and_hears_how_its_jobs_end(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        async with scene.running("tests.scheduler.tasks"):
            await scene.consume()
            first, second = (await scene.until(lambda: scene.jobs[1:] and scene.jobs))[:2]
            await scene.end(first, JobState.DONE)
            await scene.connection.publish(to_message(second), NAMES.dead, second.queue)
            await scene.until(lambda: [fire.state for fire in scene.fires()][:2] == ["done", "dead"])
        assert (first.task, [bytes(each) for each in first.body.args]) == ("tests.scheduler.tasks:tick", [b"3"])
        assert [job.id for job in scene.jobs] == [fire.job_id for fire in scene.fires()][: len(scene.jobs)]
        assert [event for event in scene.events if isinstance(event, SchedulesRead)] == [
            SchedulesRead(("tick",), (), ())
        ]
        fired = [event for event in scene.events if isinstance(event, ScheduleFired)]
        assert [event.job_id for event in fired] == [fire.job_id for fire in scene.fires()]
        assert all(fire.state is not FireState.CLAIMED for fire in scene.fires()), "it has ended what it had begun"

    play(tmp_path, scenario)


def test_what_is_made_while_it_runs_fires_too(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        async with scene.running():
            await scene.consume("made")
            scene.schedules.add(Schedule("made", Spec(Interval(3600)), Order("m:f", "made")))
            fire = scene.schedules.run("made")
            await scene.until(lambda: [job.id for job in scene.jobs] == [fire.job_id])
            await scene.until(lambda: scene.fires("made")[0].state is FireState.PUBLISHED)

    play(tmp_path, scenario)


def test_a_queue_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        async with scene.running("tests.scheduler.tasks"):
            await scene.until(lambda: any(isinstance(each, ScheduleFired) for each in scene.events))
            memory.delete_queue("schedules", NAMES.queue("ticks"))
            await scene.consume()
            await scene.until(lambda: scene.jobs)

    play(tmp_path, scenario)


def test_cancel_running_cancels_before_it_enqueues(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        said: list[CancelJobs] = []

        def hear(delivery: Delivery) -> None:
            command = control.command_of(delivery.message)
            assert isinstance(command, CancelJobs)
            said.append(command)

        spec = Spec(Interval(1), overlap=Overlap.CANCEL_RUNNING)
        scene.schedules.add(Schedule("tick", spec, Order("m:f", "ticks")))
        async with scene.running():
            await scene.connection.declare(Exchange(NAMES.control, "topic"), Queue("heard", exclusive=True))
            await scene.connection.consume("heard", hear, no_ack=True)

            await scene.connection.declare(Binding(NAMES.control, "heard", "#"))
            await scene.consume()
            await scene.until(lambda: said and len(scene.jobs) > 1)
        ids = [job.id for job in scene.jobs]
        first = said[0].ids[-1]
        assert first in ids
        assert "the next job of its schedule 'tick' is due" in said[0].reason
        assert all(fire.state is FireState.CANCELLING for fire in scene.fires() if fire.job_id == first)

    play(tmp_path, scenario)


def test_a_queue_that_takes_nothing_delays_its_schedule_alone_and_is_not_tried_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firing, "_HOLD_SECONDS", 3600.0)

    async def scenario(scene: Scene) -> None:
        await scene.connection.declare(Queue(NAMES.queue("full"), exclusive=True))  # which nobody else can declare
        spec = Spec(Interval(1), Misfire.RUN_ALL)
        Schedules(scene.database, lambda: time.time() - 300).add(Schedule("bad", spec, Order("m:f", "full")))
        async with scene.running("tests.scheduler.tasks"):
            await scene.until(lambda: len([each for each in scene.events if isinstance(each, ScheduleFired)]) > 2)
        delayed = [event.schedule for event in scene.events if isinstance(event, ScheduleDelayed)]
        assert delayed == ["bad"], "told once, and then left alone"
        assert {fire.state for fire in scene.fires("bad")} == {FireState.CLAIMED}

    play(tmp_path, scenario)


def test_more_than_can_be_taken_at_once_is_published_one_after_the_other(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        spec = Spec(Interval(1), Misfire.RUN_ALL)
        Schedules(scene.database, lambda: time.time() - 350).add(Schedule("many", spec, Order("m:f", "many")))
        async with scene.running():
            await scene.consume("many")
            await scene.until(lambda: len(scene.jobs) >= 350)
        ids = [job.id for job in scene.jobs]
        assert len(ids) == len(set(ids))

    play(tmp_path, scenario)


def test_a_job_that_cannot_be_sent_is_given_up_and_the_others_fire(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        declared = scene.schedules.add(Schedule("beyond", Spec(Interval(3600)), Order("m:f")))
        beyond = replace(declared.schedule, order=Order("m:f", expires=1e308))  # as nobody checked it
        with scene.database.write() as connection:
            store.put(connection, replace(declared, schedule=beyond))
        fire = scene.schedules.run("beyond")
        async with scene.running("tests.scheduler.tasks"):
            await scene.until(lambda: len([each for each in scene.events if isinstance(each, ScheduleFired)]) > 1)
            await scene.until(lambda: scene.fires("beyond")[0].state is FireState.GIVEN_UP)
        (told,) = [event for event in scene.events if isinstance(event, ScheduleGivenUp)]
        assert (told.schedule, told.jobs) == ("beyond", 1)
        assert fire.job_id in told.error
        assert sum(isinstance(event, Leading) for event in scene.events) == 1, "nothing began anew"

    play(tmp_path, scenario)


def test_what_is_too_old_is_dropped_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "_PRUNED_AT_ONCE", 2)

    async def scenario(scene: Scene) -> None:
        made = Schedules(scene.database, lambda: 1e9)
        made.add(Schedule("old", Spec(Interval(3600)), Order("m:f"), paused=True))
        with scene.database.write() as connection:
            fires = [claimed(made.get("old").schedule, 1e9 + number, 1e9 + number) for number in range(9)]
            store.claim(connection, [replace(fire, state=FireState.DONE) for fire in fires])
        async with scene.running():
            await scene.until(lambda: not scene.fires("old"))

    play(tmp_path, scenario)


def delivered(message: Message, exchange: str) -> Delivery:
    return Delivery(message, NAMES.schedules, exchange, "k", redelivered=False, tag=1, channel=None)


@pytest.mark.parametrize("identity", ["", "a\0b", "a\nb", "ä" * 128])
def test_an_end_of_something_that_can_be_no_job_of_ours_is_left_out(identity: str) -> None:
    letter = Message(b"", message_id=identity)
    assert end_of(delivered(letter, NAMES.dead), NAMES.dead) is None
    told = result.to_message(Result(identity, "m:f", "q", JobState.DONE, 1, 1.0), Job("i", Body("m:f"), "q"))[0]
    assert end_of(delivered(told, NAMES.results), NAMES.dead) is None


def test_an_end_that_the_store_does_not_take_keeps_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.end

    def end(connection: Any, job_id: str, state: FireState, now: float) -> bool:
        if job_id == "bad":
            raise ValueError("not this one")
        return real(connection, job_id, state, now)

    monkeypatch.setattr(store, "end", end)

    async def scenario(scene: Scene) -> None:
        scene.schedules.add(Schedule("made", Spec(Interval(3600)), Order("m:f", "made")))
        scene.schedules.run("made")
        async with scene.running():
            await scene.consume("made")
            await scene.until(lambda: scene.jobs)
            bad = Job("bad", scene.jobs[0].body, "made")
            for job in (bad, scene.jobs[0]):
                await scene.connection.publish(to_message(job), NAMES.dead, "made")
            await scene.until(lambda: scene.fires("made")[0].state is FireState.DEAD)
        told = [event for event in scene.events if isinstance(event, NotRecorded)]
        assert told == [NotRecorded(1, "ValueError: not this one")]
        assert sum(isinstance(event, Leading) for event in scene.events) == 1, "nothing began anew"

    play(tmp_path, scenario)


def test_it_goes_on_when_the_store_is_back(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        async with scene.running("tests.scheduler.tasks"):
            file, away = tmp_path / "warren.db", tmp_path / "away.db"
            await scene.until(scene.fires)
            file.rename(away)
            await scene.until(lambda: any(isinstance(each, StoreAway) for each in scene.events))
            away.rename(file)
            before = len(scene.fires())
            await scene.until(lambda: len(scene.fires()) > before)

    play(tmp_path, scenario)


def test_everything_that_is_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        with pytest.raises(StartError) as caught:
            async with scene.running("tests.scheduler.wrong", "tests.scheduler.nowhere"):
                pass
        said = str(caught.value)
        assert "module 'tests.scheduler.nowhere' cannot be imported" in said
        assert "schedule 'arguments': task 'tests.scheduler.wrong:nothing' cannot take these arguments" in said
        assert "schedule 'minute': every('61 * * * *', tz='UTC')" in said
        assert "schedule 'zone': there is no time zone 'Europe/Pari' here" in said
        assert "fine" not in said
        assert scene.schedules.list() == [], "nothing was changed"

    play(tmp_path, scenario)


def test_a_name_that_is_taken_at_run_time_is_told_at_the_start(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.schedules.add(Schedule("tick", Spec(Interval(9)), Order("m:f")))
        with pytest.raises(InvalidSchedule, match="warren schedules remove tick"):
            async with scene.running("tests.scheduler.tasks"):
                pass

    play(tmp_path, scenario)
