"""What a worker tells history: only while somebody listens, coalesced, and nothing that a result says."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support import eventually_async

from warren import telling, topology
from warren.amqp import memory
from warren.amqp.memory import connect
from warren.amqp.seam import ConnectFailed, Connection, Delivery
from warren.events import JobEnded, JobInterrupted, JobProgress, JobRefused, JobStarted
from warren.settings import Settings
from warren.telling import AnyNews, Began, Finished, Interrupted, Reached, Refused
from warren.topology import Binding, Names, Queue
from warren.worker.bulletins import Bulletins
from warren.worker.outlet import Outlet

NAMES = Names()
JOB = ("id", "m:f", "q")


class Listener:
    """A worker's bulletins on a broker in memory, and what is heard of them."""

    def __init__(self, bulletins: Bulletins, url: str) -> None:
        self.tell = bulletins
        self.url = url
        self.heard: list[AnyNews] = []

    async def listen(self) -> None:
        connection = await connect(self.url, name="history", heartbeat=30, timeout=5)
        await connection.declare(*topology.base(NAMES))
        await connection.declare(Queue("history", exclusive=True), Binding(NAMES.history.events, "history", "#"))

        def hear(delivery: Delivery) -> None:
            bulletin = telling.from_message(delivery.message)
            assert bulletin is not None
            assert bulletin.worker == "w"
            self.heard += bulletin.events

        await connection.consume("history", hear, no_ack=True)

    async def until(self, count: int) -> list[AnyNews]:
        await eventually_async(lambda: asyncio.sleep(0, len(self.heard) >= count))
        return self.heard


@asynccontextmanager
async def listener(*, listening: bool = True) -> AsyncIterator[Listener]:
    name = uuid.uuid4().hex
    settings = Settings(url=f"memory://{name}")
    outlet = Outlet(settings, "w")
    bulletins = Bulletins("w", outlet, topology.events_exchange(NAMES), lambda: 12.5)
    found = Listener(bulletins, settings.url)
    if listening:
        await found.listen()
    running = asyncio.create_task(bulletins.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await outlet.close()
        memory.reset(name)


def test_what_no_result_says_is_told() -> None:
    async def scenario() -> None:
        async with listener() as one:
            one.tell(JobStarted(*JOB, 2, 0.5, replays=1))
            one.tell(JobProgress(*JOB, 3, 10, 2, 1))
            one.tell(JobEnded(*JOB, 3, "retry", 1.5, "no", 4.0))
            one.tell(JobEnded(*JOB, 4, "done", 1.5, has_result=False))
            one.tell(JobRefused("other", "m:f", "q", "expired", "expired", "late", has_result=False))
            assert await one.until(5) == [
                Began(id="id", at=12.5, task="m:f", queue="q", attempt=2, replays=1),
                Reached(id="id", at=12.5, task="m:f", queue="q", attempt=2, replays=1, done=3, total=10),
                Finished(
                    id="id",
                    at=12.5,
                    task="m:f",
                    queue="q",
                    attempt=3,
                    outcome="retry",
                    seconds=1.5,
                    detail="no",
                    retry_in=4.0,
                ),
                Finished(id="id", at=12.5, task="m:f", queue="q", attempt=4, outcome="done", seconds=1.5),
                Refused(id="other", at=12.5, task="m:f", queue="q", outcome="expired", reason="expired", detail="late"),
            ]

    asyncio.run(scenario())


def test_of_a_short_job_with_a_result_nothing_is_told() -> None:
    async def scenario() -> None:
        async with listener() as one:
            one.tell(JobStarted(*JOB, 1, 0.5))
            one.tell(JobEnded(*JOB, 1, "done", 0.001))
            one.tell(JobStarted(*JOB, 1, 0.5))
            one.tell(JobInterrupted(*JOB, 1))
            one.tell(JobRefused(*JOB, "cancelled", "cancelled", "told by its result", 1))
            one.tell(JobInterrupted("marker", "m:f", "q", 1))
            assert await one.until(1) == [Interrupted(id="marker", at=12.5, task="m:f", queue="q", attempt=1)]

    asyncio.run(scenario())


def test_while_nobody_listens_only_ends_are_kept_and_whoever_comes_is_told_them() -> None:
    async def scenario() -> None:
        async with listener(listening=False) as one:
            await eventually_async(lambda: asyncio.sleep(0, not one.tell._heard))
            one.tell(JobStarted(*JOB, 1, 0.5))
            one.tell(JobEnded(*JOB, 1, "done", 1.5, has_result=False))
            await one.listen()
            (news,) = await one.until(1)
            assert isinstance(news, Finished)

    asyncio.run(scenario())


class Away(Outlet):
    """Of a broker that is away."""

    opened = 0

    async def open(self, *, declare: bool = False) -> Connection:
        self.opened += 1
        raise ConnectFailed("nobody is there")


def test_while_the_broker_is_away_it_is_asked_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warren.worker.bulletins._MOMENT_SECONDS", 3600.0)
    monkeypatch.setattr("warren.worker.bulletins._ASK_SECONDS", 10_000.0)

    async def scenario() -> None:
        away = Away(Settings(), "w")
        bulletins = Bulletins("w", away, topology.events_exchange(NAMES), lambda: 12.5)
        running = asyncio.create_task(bulletins.run())
        for number in range(1_000):  # more than are told at once, which is otherwise told at once
            bulletins(JobStarted(str(number), "m:f", "q", 1, 0.5))
            await asyncio.sleep(0)
        assert away.opened == 1
        running.cancel()
        pauses = []
        for _ in range(4):
            pauses.append(bulletins._pause())
            await bulletins._tell()
        for pause, longest in zip(pauses, (7_200.0, 10_000.0, 10_000.0, 10_000.0), strict=True):
            assert longest / 2 <= pause <= longest

    asyncio.run(scenario())


def test_what_is_kept_while_nobody_takes_it_is_bounded() -> None:
    async def scenario() -> None:
        async with listener(listening=False) as one:
            await eventually_async(lambda: asyncio.sleep(0, not one.tell._heard))
            for number in range(30_000):
                one.tell(JobEnded(str(number), "m:f", "q", 1, "done", 1.5, has_result=False))
            assert len(one.tell._kept) == 20_000
            await eventually_async(lambda: asyncio.sleep(0, not one.tell._kept), message="forgotten, as nobody listens")

    asyncio.run(scenario())
