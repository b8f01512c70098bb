"""How a worker comes by a session: what may have begun while it opens is neither forgotten nor cut off."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support import eventually_async
from tests.worker.test_settle import scenario, true_of

from warren.amqp import memory
from warren.amqp.seam import ChannelRefused, ConnectionLost
from warren.worker import Worker
from warren.worker.session import Session


class Opening:
    """In place of an intake: its opening ends with its session only, as that of one under a backlog may."""

    running = 0

    def __init__(self) -> None:
        self.session: Session | None = None
        self.refusals = 0
        """So often it is refused at once, the session being as it was."""
        self.lost_ones: list[tuple[Session, str]] = []

    async def open(self, session: Session) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ChannelRefused(404, "no queue")
        self.session = session
        raise ConnectionLost(await asyncio.shield(session.lost))

    def lost(self, session: Session, reason: str) -> None:
        self.lost_ones.append((session, reason))


@asynccontextmanager
async def connecting() -> AsyncIterator[tuple[Any, Opening, "asyncio.Task[Any]", str]]:
    """A worker without a pool that is opening its intake."""
    name = uuid.uuid4().hex
    worker: Any = Worker([], url=f"memory://{name}", processes=1, http_port=-1)
    worker._intake = intake = Opening()
    connected = asyncio.create_task(worker._stopping.unless_asked(worker._rebuilding().run()))
    await eventually_async(lambda: true_of(intake.session))
    yield worker, intake, connected, name
    worker.stop()
    worker._stopping.ask("stop")
    await connected
    await worker._session.close()
    await worker._outlet.close()
    memory.reset(name)


@scenario
async def test_a_worker_that_is_told_to_stop_while_it_takes_its_first_jobs_keeps_their_session_for_the_drain() -> None:
    async with connecting() as (worker, intake, connected, _):
        worker._stopping.ask("SIGTERM")
        assert not await connected
        assert intake.session is not None
        assert intake.session.alive
        assert worker._session is intake.session
        assert not intake.lost_ones


@scenario
async def test_a_session_that_is_lost_while_it_opens_is_told_to_whoever_has_its_jobs() -> None:
    async with connecting() as (_, intake, __, name):
        first = intake.session
        memory.drop(name)
        await eventually_async(lambda: true_of(intake.session is not first))
        ((session, reason),) = intake.lost_ones
        assert session is first
        assert "CONNECTION_FORCED" in reason


@scenario
async def test_a_session_that_fails_otherwise_while_it_opens_is_told_too() -> None:
    async with connecting() as (worker, intake, _, name):
        intake.refusals = 1
        memory.drop(name)
        await eventually_async(lambda: true_of(len(intake.lost_ones) == 2 and worker._session is intake.session))
        _, (refused, reason) = intake.lost_ones
        assert not refused.alive
        assert reason == "closed by us"
