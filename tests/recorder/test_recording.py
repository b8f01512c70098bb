"""A recorder in this process: where it reads on, what it skips, what it says is missing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.faults.recorders import kept
from tests.support import Broker, Management, eventually_async

from warren import telling, topology
from warren.amqp.pika_engine import connect
from warren.amqp.seam import Connection, Message
from warren.errors import StartError
from warren.events import Event
from warren.events_history import BacklogKept, BatchRecorded, HistoryDropped, NotRecorded
from warren.job import Body, Job, to_message
from warren.recorder.backlog import backlog
from warren.recorder.daemon import Recorder
from warren.recorder.ledger import Ledger, Overtaken
from warren.settings import Settings
from warren.store import history
from warren.store.database import Database
from warren.store.facts import Enqueued
from warren.store.gathering import Gathered, gather
from warren.telling import Began
from warren.topology import Names


class Scene:
    """A broker and a store; a recorder runs when it is told to."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection, self.settings = connection, settings
        self.names = Names(settings.namespace)
        self.events: list[Event] = []
        self.backlog = 2_000_000

    async def job(self, name: str) -> None:
        message = to_message(Job(name, Body("m:f"), "a", enqueued_at=1.0, ready_at=1.0, first_ready_at=1.0))
        await self.connection.publish(message, self.names.jobs, "a")

    async def record(self, until: Callable[[], object]) -> None:
        """Run a recorder until this is true."""
        recorder = Recorder(self.settings, self.events.append, backlog=self.backlog)
        serving = asyncio.create_task(recorder.serve())
        try:
            await eventually_async(lambda: asyncio.sleep(0, serving.done() or until()))
        finally:
            recorder.stop()
            await serving

    def has(self, *ids: str) -> bool:
        return set(kept(self.settings.store)) >= set(ids)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def scenario(broker: Broker, namespace: str, store: str, test: Callable[[Scene], Awaitable[None]]) -> None:
    async def go() -> None:
        settings = Settings(url=broker.url, namespace=namespace, store=store, http_port=-1, name="r")
        connection = await connect(broker.url, name="scene", heartbeat=30, timeout=30)
        try:
            names = Names(namespace)
            await connection.declare(*topology.base(names), *topology.work_queue(names, "a"))
            await connection.declare(*backlog(names, 2_000_000), topology.delays_marker(names))
            await test(Scene(connection, settings))
        finally:
            await connection.close()

    asyncio.run(go())


def test_it_reads_on_where_it_stopped(broker: Broker, namespace: str, sqlite_url: str) -> None:
    async def test(scene: Scene) -> None:
        await scene.job("one")
        await scene.record(lambda: scene.has("one"))
        await scene.job("two")
        first, scene.events = scene.events, []
        await scene.record(lambda: scene.has("two"))
        assert not [event for event in first + scene.events if isinstance(event, HistoryDropped)]
        assert sum(event.facts for event in scene.of(BatchRecorded) if isinstance(event, BatchRecorded)) == 1

    scenario(broker, namespace, sqlite_url, test)


def test_what_is_not_understood_is_skipped_and_said(broker: Broker, namespace: str, sqlite_url: str) -> None:
    async def test(scene: Scene) -> None:
        await scene.connection.publish(Message(b"no result"), scene.names.results, "x")
        await scene.job("one")
        await scene.record(lambda: scene.has("one"))
        assert scene.of(NotRecorded) == [NotRecorded(1, "it is no result")]

    scenario(broker, namespace, sqlite_url, test)


def test_messages_that_tell_much_are_written_in_several_transactions(
    broker: Broker, namespace: str, sqlite_url: str
) -> None:
    async def test(scene: Scene) -> None:
        for part in range(3):
            news = [Began(id=f"{part}-{number}", at=1.0, task="m:f", queue="a", attempt=1) for number in range(4_000)]
            await scene.connection.publish(telling.to_message("w", news, 1.0), scene.names.history.events, "jobs")
        await scene.record(lambda: scene.has("0-0", "2-3999"))
        facts = [event.facts for event in scene.of(BatchRecorded) if isinstance(event, BatchRecorded) and event.facts]
        assert sum(facts) == 12_000
        assert max(facts) <= 8_000

    scenario(broker, namespace, sqlite_url, test)


def test_one_job_that_the_store_does_not_take_keeps_no_other_out(
    broker: Broker, namespace: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = history.record

    def choosy(connection: object, gathered: Gathered, now: float) -> object:
        if "bad" in gathered.records:
            raise ValueError("not this one")
        return record(connection, gathered, now)  # type: ignore[arg-type]

    monkeypatch.setattr(history, "record", choosy)

    async def test(scene: Scene) -> None:
        for name in ("one", "two", "bad", "three", "four"):
            await scene.job(name)
        await scene.record(lambda: scene.has("one", "two", "three", "four"))
        assert scene.of(NotRecorded) == [NotRecorded(1, "ValueError: not this one")]
        assert not scene.has("bad")

    scenario(broker, namespace, sqlite_url, test)


def test_messages_that_the_stream_has_dropped_are_told(broker: Broker, namespace: str, sqlite_url: str) -> None:
    async def test(scene: Scene) -> None:
        await scene.job("one")
        await scene.record(lambda: scene.has("one"))
        for _ in range(60):
            await scene.connection.publish(Message(bytes(100_000)), scene.names.history.copies, "", mandatory=False)
        await scene.job("two")
        await scene.record(lambda: scene.has("two"))
        (dropped,) = scene.of(HistoryDropped)
        assert isinstance(dropped, HistoryDropped)
        assert 20 < dropped.messages < 62

    scenario(broker, namespace, sqlite_url, test)


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(
    broker: Broker, namespace: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warren.recorder.recording._FIRST_SECONDS", 0.5)

    async def test(scene: Scene) -> None:
        for name in ("one", "two", "three", "four", "five"):
            await scene.job(name)
        await scene.record(lambda: scene.has("five"))
        management = Management(broker)
        management.call("DELETE", f"queues/{management.vhost}/{scene.names.history.stream}")
        management.close()
        await scene.connection.declare(*backlog(scene.names, 2_000_000))
        await scene.job("six")
        await scene.record(lambda: scene.has("six"))
        assert not scene.of(HistoryDropped)

    scenario(broker, namespace, sqlite_url, test)


def test_a_backlog_that_is_there_with_another_size_stays_and_that_is_said(
    broker: Broker, namespace: str, sqlite_url: str
) -> None:
    async def test(scene: Scene) -> None:
        await scene.job("one")
        await scene.record(lambda: scene.has("one"))
        assert not scene.of(BacklogKept)
        scene.backlog = 3_000_000
        await scene.job("two")
        await scene.record(lambda: scene.has("two"))
        assert scene.of(BacklogKept) == [BacklogKept(scene.names.history.stream, 3_000_000)]

    scenario(broker, namespace, sqlite_url, test)


def test_whoever_was_overtaken_writes_nothing(database: Database) -> None:
    ledger = Ledger(database, "s")
    job = Enqueued("one", "m:f", "q", 0, 1, 1.0, 1.0)
    ledger.record(gather([job]), None, 5, 1.0)
    other = Enqueued("two", "m:f", "q", 0, 1, 1.0, 1.0)
    for following in (None, 4, 6):
        with pytest.raises(Overtaken):
            ledger.record(gather([other]), following, 9, 1.0)
    assert ledger.following() == 5
    ledger.record(gather([other]), 5, 9, 1.0)
    assert ledger.following() == 9


def test_without_the_right_to_declare_a_stream_must_be_there(broker: Broker, namespace: str, sqlite_url: str) -> None:
    settings = Settings(url=broker.url, namespace=namespace, store=sqlite_url, http_port=-1, declare=False)
    with pytest.raises(StartError, match=f"there is no stream '{namespace}.history' to record from"):
        Recorder(settings, lambda _: None).run()
