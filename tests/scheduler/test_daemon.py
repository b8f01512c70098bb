"""A scheduler at work on a broker in memory: it fires, hears how jobs end, and goes on when something is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support import eventually_async

from warren import control, result
from warren.amqp import memory
from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection, Delivery, Settle
from warren.control import CancelJobs
from warren.errors import InvalidSchedule, StartError
from warren.events import Event, Leading
from warren.events_schedules import ScheduleFired, SchedulesRead, StoreAway
from warren.job import Job, from_message, to_message
from warren.result import Result
from warren.schedule import Interval, Order, Overlap, Schedule, Spec
from warren.scheduler import Schedules
from warren.scheduler.daemon import Scheduler
from warren.settings import Settings
from warren.states import JobState
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
