"""What is said to a worker from outside; `warren.control` has what can be said, and how something is added to it.

On every new session, before any lane opens: first the queue on which the worker hears from now on, then what the stream has,
up to a mark of its own, because a stream does not say where it ends. What comes both ways is obeyed twice, which must not
matter. After a loss only what is new in the stream is read, from the last mark on; where that is not, the stream is another.
"""

import asyncio
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
import structlog

from warren import control, topology
from warren.amqp.seam import (
    OFFSET,
    AmqpError,
    ChannelRefused,
    Connection,
    ConnectionLost,
    Delivery,
    Message,
    Settle,
    StreamAt,
    StreamStart,
)
from warren.control import Command, NotUnderstood
from warren.events import CommandIgnored, ControlUnavailable, Events
from warren.settings import Settings
from warren.topology import Names
from warren.worker.outlet import CANNOT_PUBLISH, Outlet
from warren.worker.plan import Publish

C = TypeVar("C")
Answer = msgspec.Struct | None
_Place = tuple[int, str]

_PREFETCH = 500
_FORBIDDEN = 403


class Control:
    """Hears commands, has them obeyed and answered. Only touched from the loop.

    Args:
        name: this worker's.
        outlet: for marks and answers.
        events: hears what could not be obeyed.
    """

    def __init__(self, settings: Settings, name: str, outlet: Outlet, events: Events) -> None:
        self._names = Names(settings.namespace)
        self._declares = settings.declare
        self._silence = settings.publish_timeout
        self._name = name
        self._outlet = outlet
        self._events = events
        self._handlers: dict[type, Callable[[Any], Answer | Awaitable[Answer]]] = {}
        self._place: _Place | None = None
        """Of the last mark that was read in the stream."""
        self._chores: set[asyncio.Task[None]] = set()  # asyncio itself holds tasks weakly

    def on(self, kind: type[C], handler: Callable[[C], Answer | Awaitable[Answer]]) -> None:
        """Have a kind of command obeyed by `handler`, which returns the answer, a coroutine of it, or None."""
        self._handlers[kind] = handler

    async def open(self, inbound: Connection) -> None:
        """Hear what is said from now on, and read what was said before; without the right to it, go on without.

        Raises:
            AmqpError, TopologyMismatch: not now.
        """
        try:
            unique = uuid.uuid4().hex
            await inbound.declare(*topology.hearing(self._names, unique))
            await inbound.consume(self._names.hears(unique), self._heard, no_ack=True)
            await self._catch_up(inbound)
        except ChannelRefused as refused:
            # Where nobody declares, what is missing stays so; any other 404 is said by a broker that starts or stops.
            if refused.code != _FORBIDDEN and (self._declares or not refused.absent):
                raise
            self._events.emit(ControlUnavailable(str(refused)))

    async def _catch_up(self, inbound: Connection) -> None:
        """Read the stream as far as it goes now; all of it again if it is another than before."""
        while not await self._read(inbound):
            self._place = None

    async def _read(self, inbound: Connection) -> bool:
        """Read the stream from where we are; False when it is not the one that we have read so far."""
        reading = _Reading(inbound, self._place)

        def take(delivery: Delivery) -> None:
            if reading.take(delivery):
                self._obey(delivery.message)

        start = StreamStart.FIRST if self._place is None else StreamAt(self._place[0])
        reader = await inbound.consume(self._names.control, take, prefetch=_PREFETCH, offset=start)
        try:
            await self._mark(reading)
            known = await reading.finished(self._silence)
            self._place = reading.place
            return known
        finally:
            with suppress(AmqpError):
                await inbound.cancel(reader)

    async def _mark(self, reading: "_Reading") -> None:
        message, key = control.mark_message(time.time())
        reading.mark = message.message_id
        try:
            sent = await self._outlet.send(Publish(message, self._names.control, key, mandatory=False))
        except TimeoutError as error:
            raise ConnectionLost("the mark for the control stream could not be written in time") from error
        sent.add_done_callback(reading.marked)

    def _heard(self, delivery: Delivery) -> None:
        message = delivery.message
        answer = self._obey(message)
        if answer is not None and message.reply_to:
            task = asyncio.get_running_loop().create_task(self._answer(message, answer))
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)

    def _obey(self, message: Message) -> Answer | Awaitable[Answer]:
        """Have a message obeyed; whatever it is, it disturbs nobody."""
        if message.type == topology.MARK or not control.is_for(message, self._name):
            return None
        try:
            command: Command = control.command_of(message)
        except NotUnderstood as error:
            self._events.emit(CommandIgnored(str(error)))
            return None
        handler = self._handlers.get(type(command))
        return None if handler is None else self._guarded(handler, command)

    def _guarded(self, handler: Callable[[Any], Answer | Awaitable[Answer]], command: Command) -> Any:
        try:
            return handler(command)
        except Exception as bug:  # noqa: BLE001 - called by a client library, which a bug of ours must not reach
            _tell_bug(command, bug)
            return None

    async def _answer(self, message: Message, answer: Answer | Awaitable[Answer]) -> None:
        try:
            told = await answer if inspect.isawaitable(answer) else answer
        except Exception as bug:  # noqa: BLE001 - nobody awaits this
            _tell_bug(message.type, bug)
            return
        if told is None:
            return
        reply, key = control.reply_message(message, self._name, told, time.time())
        with suppress(*CANNOT_PUBLISH):  # whoever asked does not wait for ever
            await (await self._outlet.send(Publish(reply, self._names.control, key, mandatory=False)))


class _Reading:
    """One reading of the stream, from the last mark that was read, or from the beginning, up to a new mark.

    Args:
        since: the offset and the id of the last mark.
    """

    def __init__(self, inbound: Connection, since: _Place | None) -> None:
        self.mark: str | None = None
        self.place = since
        self._since = since
        self._inbound = inbound
        self._sent: asyncio.Future[None] | None = None
        self._done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask any more
        self._moved = asyncio.Event()

    def take(self, delivery: Delivery) -> bool:
        """Take the next message; False when it is not to be looked at."""
        self._inbound.settle(delivery, Settle.ACK)
        self._moved.set()
        offset, known = delivery.message.headers.get(OFFSET), delivery.message.message_id or ""
        if self._done.done() or not isinstance(offset, int):
            return False
        if self._since is not None and offset == self._since[0]:
            if known != self._since[1]:
                self._done.set_result(False)
            return False
        if known == self.mark:
            self.place = offset, known
            self._done.set_result(True)
        return True

    def marked(self, sent: "asyncio.Future[None]") -> None:
        """Hear whether the mark is in the stream."""
        self._sent = sent
        error = ConnectionLost("the publishing connection was closed") if sent.cancelled() else sent.exception()
        if error is not None and not self._done.done():
            self._done.set_exception(error)

    async def finished(self, silence: float) -> bool:
        """Wait until the mark was read; False when the stream is another than the one whose place we know.

        Raises:
            AmqpError: the mark was refused, or not delivered, or a connection is lost.
        """
        while not self._done.done():
            self._moved.clear()
            moved = asyncio.ensure_future(self._moved.wait())
            ends: list[asyncio.Future[Any]] = [moved, self._done, self._inbound.lost]
            await asyncio.wait(ends, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            silent = not moved.done()
            moved.cancel()
            if self._inbound.lost.done():
                raise ConnectionLost(self._inbound.lost.result())
            if silent and not self._done.done():
                return self._judge_silence()
        return self._done.result()

    def _judge_silence(self) -> bool:
        if self._sent is None:
            return True  # a broker with an alarm takes no mark, but sends what it has
        if self._since is not None:
            return False  # the stream is shorter than ours was
        raise ConnectionLost("the broker has taken a message into the control stream and does not hand it out")


def _tell_bug(what: object, bug: Exception) -> None:
    structlog.get_logger("warren").error(
        "a bug in Warren: a command could not be obeyed; please report it", command=str(what), exc_info=bug
    )
