"""Asking workers over the control exchange, and hearing their answers; see `warren.control`."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Self

from warren import control
from warren.amqp.seam import Connection, ConnectionLost, Delivery, Message, Nacked
from warren.control import Command, Reply
from warren.topology import Binding, Names, Queue

_NACKED_SECONDS = 0.05


async def publish_until_taken(connection: Connection, message: Message, exchange: str, routing_key: str) -> None:
    """Publish what may come twice to exclusive queues, until it is confirmed; the caller sets the deadline.

    RabbitMQ 4 says no to a message when one of the queues that it goes to is deleted just then, as the queue of a worker or a
    producer is that disconnects: all others may have it or not.

    Raises:
        AmqpError: anything else.
    """
    while True:
        try:
            await connection.publish(message, exchange, routing_key, mandatory=False)
        except Nacked:
            await asyncio.sleep(_NACKED_SECONDS)
        else:
            return


def _never(_: Sequence[Reply]) -> bool:
    return False


class Asker:
    """Asks over one connection, any number of times; the queue for the answers lives as long as that."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._key = uuid.uuid4().hex
        self._heard: dict[str, tuple[list[Reply], asyncio.Event]] = {}
        """Answers by the question's id."""

    @classmethod
    async def open(cls, connection: Connection, names: Names) -> Self:
        """Open the queue for the answers.

        Raises:
            ChannelRefused: no right to that, or there is no control exchange.
        """
        asker = cls(connection, names)
        queue = names.reply(asker._key)
        await connection.declare(
            Queue(queue, exclusive=True),
            Binding(names.control, queue, control.reply_key(asker._key)),
        )
        await connection.consume(queue, asker._hear, no_ack=True)
        return asker

    async def ask(
        self,
        command: Command,
        seconds: float,
        *,
        worker: str = "",
        enough: Callable[[Sequence[Reply]], bool] = _never,
    ) -> list[Reply]:
        """Send a command and return what was answered; a kept one stands when this returns, whoever answered.

        Nobody knows how many workers there are, so all the time is waited for them unless `enough` says that it is enough.

        Args:
            command: what is said.
            seconds: for the answers, from the broker's confirm on.
            worker: the only one that shall obey.
            enough: asked after each answer.

        Raises:
            AmqpError: the broker did not confirm it.
        """
        message, key = control.command_message(command, time.time(), worker=worker, reply_to=self._key)
        replies: list[Reply] = []
        new = asyncio.Event()
        self._heard[str(message.message_id)] = replies, new
        try:
            await publish_until_taken(self._connection, message, self._names.control, key)
            await self._collect(replies, new, seconds, enough)
        finally:
            del self._heard[str(message.message_id)]
        return replies

    async def _collect(
        self, replies: list[Reply], new: asyncio.Event, seconds: float, enough: Callable[[Sequence[Reply]], bool]
    ) -> None:
        deadline = time.monotonic() + seconds
        while not enough(replies) and (left := deadline - time.monotonic()) > 0:
            new.clear()
            waiting = asyncio.ensure_future(new.wait())
            ends: list[asyncio.Future[Any]] = [waiting, self._connection.lost]
            try:
                await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            if self._connection.lost.done():
                raise ConnectionLost(self._connection.lost.result())

    def _hear(self, delivery: Delivery) -> None:
        heard = self._heard.get(delivery.message.correlation_id or "")
        reply = control.reply_of(delivery.message)
        if heard is not None and reply is not None:
            heard[0].append(reply)
            heard[1].set()
