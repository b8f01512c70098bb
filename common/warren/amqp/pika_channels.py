"""The channels of a pika connection: opened, asked, heard of when they end. Only touched from the loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pika.exceptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from warren.amqp.pika_values import channel_error
from warren.amqp.seam import AmqpError, ConnectionLost


class Channels:
    """Opens a connection's channels and hears of their ends."""

    def __init__(self, wire: AsyncioConnection, lost: "asyncio.Future[str]") -> None:
        self._wire = wire
        self._lost = lost
        self._admin: Rpc | None = None

    async def admin(self) -> "Rpc":
        """The channel for declaring and asking; the broker closes it over every no, so it is opened anew when needed."""
        if self._admin is None or not self._admin.channel.is_open:
            self._admin = await self.open(needed=False)
        return self._admin

    async def open(self, *, needed: bool = True) -> "Rpc":
        """Open a channel; the unasked end of one that is needed is the loss of the connection."""
        if self._lost.done():
            raise ConnectionLost(self._lost.result())
        opened: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        try:
            rpc = Rpc(self._wire.channel(on_open_callback=_resolve(opened)), opened, needed=needed)
        except pika.exceptions.AMQPError as error:
            raise ConnectionLost(str(error)) from error
        rpc.channel.add_on_close_callback(lambda _, reason: self._closed(rpc, reason))
        await rpc.wait(opened)
        return rpc

    def _closed(self, rpc: "Rpc", reason: BaseException) -> None:
        error = channel_error(reason)
        rpc.fail(error)
        ours = isinstance(reason, pika.exceptions.ChannelClosedByClient)
        if rpc.needed and not ours and not self._lost.done():
            self._lost.set_result(rpc.why(error))


class Rpc:
    """A channel and the answers that are waited for on it; a closing channel fails them all."""

    def __init__(self, channel: Channel, opened: "asyncio.Future[object]", *, needed: bool) -> None:
        self.channel = channel
        self.needed = needed
        self.on_fail: Callable[[AmqpError], None] = lambda _: None
        self.why: Callable[[AmqpError], str] = str
        """Says of its end why it is the loss of the connection."""
        self._waiting: set[asyncio.Future[Any]] = {opened}

    def expect(self) -> "asyncio.Future[Any]":
        """Return what will have an answer, to be waited for by `wait`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        return answer

    async def call(self, send: Callable[[Callable[[Any], None]], object]) -> Any:
        answer = self.expect()
        try:
            send(_resolve(answer))
        except pika.exceptions.AMQPError as error:
            raise ConnectionLost(str(error) or type(error).__name__) from error
        return await self.wait(answer)

    async def wait(self, answer: "asyncio.Future[Any]") -> Any:
        try:
            return await answer
        finally:
            self._waiting.discard(answer)

    def fail(self, error: AmqpError) -> None:
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)
        self.on_fail(error)


def _resolve(future: "asyncio.Future[Any]") -> Callable[..., None]:
    def done(*answer: object) -> None:
        if not future.done():
            future.set_result(answer[0] if answer else None)

    return done
