"""A broker that accepts and then says nothing: both engines give up cleanly, by the clock or when they are told to."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.common.amqp.harness import DEADLINE_SECONDS, Side, scenario

from warren.amqp.seam import ConnectFailed, Connection

ENGINES = pytest.mark.parametrize("engine", ["pika_engine", "aio_pika_engine"])


class Silence:
    """A server that reads and never answers."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readexactly(8)).startswith(b"AMQP")
        self.greeted.set()
        await reader.read()
        self.left.set()
        writer.close()


@asynccontextmanager
async def silent_broker() -> AsyncIterator[tuple[Silence, str]]:
    silence = Silence()
    server = await asyncio.start_server(silence.serve, "127.0.0.1")
    async with server:
        yield silence, f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def complaints() -> list[dict[str, Any]]:
    """What callbacks of the running loop raise from now on."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def connect(engine: str, url: str, *, timeout: float) -> Connection:
    connection: Connection = await importlib.import_module(f"warren.amqp.{engine}").connect(
        url, name="conformance", heartbeat=30, timeout=timeout
    )
    return connection


@ENGINES
@scenario
async def test_a_broker_that_never_answers_is_given_up_in_time_and_left(engine: str) -> None:
    heard = complaints()
    async with silent_broker() as (silence, url):
        with pytest.raises(ConnectFailed, match="no answer within"):
            await connect(engine, url, timeout=1.0)
        await asyncio.wait_for(silence.left.wait(), DEADLINE_SECONDS)
    assert heard == []


@ENGINES
@scenario
async def test_connecting_can_be_cancelled_in_the_middle_of_the_handshake(engine: str) -> None:
    heard = complaints()
    async with silent_broker() as (silence, url):
        # Not long: pika lets go of what is abandoned here only when its time is over.
        connecting = asyncio.create_task(connect(engine, url, timeout=2.0))
        await silence.greeted.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.wait_for(silence.left.wait(), DEADLINE_SECONDS)
    assert heard == []


@scenario
async def test_connecting_can_be_cancelled_at_any_moment(side: Side) -> None:
    heard = complaints()
    for milliseconds in range(20):
        connecting = asyncio.create_task(side.open())
        await asyncio.wait([connecting], timeout=milliseconds / 1000)
        connecting.cancel()
        for end in await asyncio.gather(connecting, return_exceptions=True):
            if isinstance(end, asyncio.CancelledError):
                continue
            assert not isinstance(end, BaseException), end
            await end.close()
    assert heard == []
