"""Whatever happens to the socket, pika hears of its end."""

import asyncio
from typing import Any

from tests.common.amqp.harness import scenario

from warren.amqp.pika_stream import Stream


class Pika:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def connection_lost(self, error: object) -> None:
        self.told.append(error)


class FailsToClose:
    """Cannot close what it reads."""

    def close(self) -> None:
        raise TypeError("no such socket")


@scenario
async def test_whatever_fails_while_reading_is_closed_the_end_is_told() -> None:
    pika, reading = Pika(), FailsToClose()
    stream: Any = Stream(asyncio.get_running_loop(), pika)
    stream.reading = reading
    error = ConnectionResetError()
    try:
        stream.connection_lost(error)
    except TypeError:
        pika.told.append("raised")
    assert pika.told == [error, "raised"]
    assert not stream.lock.locked()
