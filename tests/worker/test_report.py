"""A worker's report on itself: told when it changes and again and again, and never in the way of anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from tests.support import eventually_async

from warren import status as statuses
from warren.amqp.seam import ChannelRefused, ConnectionLost, Message
from warren.events import Event, Events, JobEnded, StatusRefused
from warren.metrics import Metrics
from warren.status import ProcessStatus, RunningJob, WorkerState, WorkerStatus
from warren.topology import Exchange
from warren.worker import report
from warren.worker.report import Report, Subject

EXCHANGE = Exchange("ns.workers", "fanout")
DENIED = ChannelRefused(403, "ACCESS_REFUSED - write access to exchange 'ns.workers' in vhost '/' refused for user 'u'")


class FakeConnection:
    """Publishes into a list; confirms, or refuses with `error`."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = False
        self.there: bool | ChannelRefused = True
        self.error: Exception | None = None
        self.told: list[WorkerStatus] = []

    async def exists(self, item: Exchange) -> bool:
        assert item == EXCHANGE
        if isinstance(self.there, ChannelRefused):
            raise self.there
        return self.there

    def publish(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> "asyncio.Future[None]":
        assert (exchange, routing_key, mandatory) == (EXCHANGE.name, "", False)
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        status = statuses.from_message(message)
        assert status is not None
        self.told.append(status)
        if self.error is None:
            confirm.set_result(None)
        else:
            confirm.set_exception(self.error)
        return confirm


class FakeOutlet:
    """Has a connection, or none just now."""

    def __init__(self) -> None:
        self.connection: FakeConnection | None = FakeConnection()
        self.asked = 0

    async def open(self) -> FakeConnection:
        self.asked += 1
        if self.connection is None:
            raise ConnectionLost("not now")
        return self.connection


@dataclass
class FakePool:
    size: int = 2
    coroutines: int = 10
    slots: list[ProcessStatus] = field(default_factory=list)

    def status(self, at: float) -> tuple[ProcessStatus, ...]:
        return tuple(self.slots)


class Scene:
    """A report with its fakes."""

    def __init__(self) -> None:
        self.outlet = FakeOutlet()
        self.events: list[Event] = []
        self.pool = FakePool()
        self.metrics = Metrics(CollectorRegistry())
        self.now = 1000.0
        subject = Subject("w", ("images",), self.pool, self.metrics)
        self.report = Report(
            subject, cast("Any", self.outlet), EXCHANGE, Events(self.events.append), clock=lambda: self.now
        )

    @property
    def connection(self) -> FakeConnection:
        assert self.outlet.connection is not None
        return self.outlet.connection

    async def told(self, count: int) -> list[WorkerStatus]:
        """What was told on this connection, once it is so many times."""
        told = self.connection.told
        await eventually_async(lambda: _true(len(told) >= count), message=f"told {count} times")
        return told

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.report.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _true(value: object) -> bool:
    return bool(value)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "INTERVAL_SECONDS", 0.01)


def test_a_change_is_told_at_once_and_the_last_word_is_that_it_stopped() -> None:
    async def scene() -> None:
        made = Scene()
        async with made.running():
            await made.told(1)
            for count, state in enumerate((WorkerState.RUNNING, WorkerState.DISCONNECTED, WorkerState.DRAINING), 2):
                made.report.becomes(state)
                assert (await made.told(count))[-1].state is state
        await made.report.end()
        states = [status.state for status in made.connection.told]
        assert states == ["starting", "running", "disconnected", "draining", "stopped"]

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
def test_it_is_told_again_and_again_with_what_is_new() -> None:
    async def scene() -> None:
        made = Scene()
        async with made.running():
            first = (await made.told(3))[0]
            assert (first.name, first.queues, first.processes, first.coroutines) == ("w", ("images",), 2, 10)
            assert (first.at, first.started_at, first.ended, first.slots) == (1000.0, 1000.0, {}, ())
            made.now = 1007.5
            made.metrics(JobEnded("id", "m:f", "images", 1, "done", 0.1))
            job = RunningJob("id", "m:f", "images", 1, 1005.0)
            made.pool.slots = [ProcessStatus(0, 7, "busy", 1, (job,))]
            await made.told(len(made.connection.told) + 2)
            last = made.connection.told[-1]
            assert (last.at, last.started_at, last.ended) == (1007.5, 1000.0, {"done": 1})
            assert last.slots[0].jobs == (job,)
            assert last.rss > 0

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
def test_without_a_broker_it_goes_on_trying_and_nothing_is_raised() -> None:
    async def scene() -> None:
        made = Scene()
        connection, made.outlet.connection = made.connection, None
        async with made.running():
            await eventually_async(lambda: _true(made.outlet.asked >= 3))
            made.outlet.connection = connection
            await made.told(1)
            connection.error = ConnectionLost("gone")
            await made.told(len(connection.told) + 2)
        assert made.events == []

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
def test_nothing_is_written_to_a_connection_that_an_alarm_blocks() -> None:
    async def scene() -> None:
        made = Scene()
        made.connection.blocked = True
        async with made.running():
            await eventually_async(lambda: _true(made.outlet.asked >= 3))
            assert made.connection.told == []
            made.connection.blocked = False
            await made.told(1)

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
def test_where_the_exchange_is_missing_nothing_is_published_until_it_is_there_and_that_is_said_once() -> None:
    async def scene() -> None:
        made = Scene()
        made.connection.there = False
        async with made.running():
            await eventually_async(lambda: _true(made.outlet.asked >= 3))
            assert made.connection.told == []
            made.connection.there = True
            await made.told(1)
        (event,) = made.events
        assert isinstance(event, StatusRefused)
        assert "'ns.workers'" in event.error
        assert "warren topology apply" in event.error

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("when", ["looked for", "published to"])
def test_without_the_right_to_it_a_worker_stops_trying_as_every_refusal_costs_a_connection(when: str) -> None:
    async def scene() -> None:
        made = Scene()
        if when == "looked for":
            made.connection.there = DENIED
        else:
            made.connection.error = DENIED
        async with made.running():
            await eventually_async(lambda: _true(made.events))
            tried = made.outlet.asked
            made.report.becomes(WorkerState.RUNNING)
            await asyncio.sleep(0.1)  # that nothing happens can only be seen by waiting
            assert made.outlet.asked == tried
        assert [type(event) for event in made.events] == [StatusRefused]

    asyncio.run(scene())


@pytest.mark.usefixtures("often")
def test_the_refusal_of_another_publish_is_not_taken_for_its_own() -> None:
    async def scene() -> None:
        made = Scene()
        made.connection.error = ChannelRefused(403, "ACCESS_REFUSED - access to exchange 'ns.results' refused")
        async with made.running():
            await made.told(3)
        assert made.events == []

    asyncio.run(scene())


def test_a_worker_that_never_reached_a_broker_ends_without_a_word() -> None:
    async def scene() -> None:
        made = Scene()
        made.outlet.connection = None
        await made.report.end()
        assert made.outlet.asked == 0

    asyncio.run(scene())
