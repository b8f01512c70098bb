"""pika's connection to asyncio, with a tap on it: frames that somebody here reads better than pika go to them.

pika lets its I/O be replaced (`AbstractIOServices`). This one connects by asyncio's own transports, sends the bytes of one
turn of the loop in one write, and lets taps look at every frame that comes in. So pika keeps the handshake, the heartbeats,
the channels and every rare method.
"""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from pika.adapters.utils import nbio_interface

from warren.amqp.pika_reading import POSSIBLE, SharedReading
from warren.amqp.pika_taps import Taps
from warren.amqp.seam import ConnectionLost

_HELD_SECONDS = 1.0
_TORN_SECONDS = 0.05
"""For a thread that is about to write, so that the number it writes to is no other file's yet."""
_FULL = 100
_READ_BYTES = 65_536


class Stream(nbio_interface.AbstractStreamTransport):
    """What pika believes to be the transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pika: Any) -> None:
        self.taps = Taps(pika)
        self.lock = threading.Lock()
        """Held while something is written, as other threads may do that, too."""
        self._loop = loop
        self._pika = pika
        self._transport: asyncio.Transport | None = None
        self._plain_socket = -1
        self.reading: SharedReading | None = None
        """Where threads can read as well."""
        self._broken: Exception | None = None
        self._patience = _HELD_SECONDS
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send with all that is written in this turn of the loop; dropped when the connection is gone."""
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(data)

    def write_through(self, data: bytes) -> None:
        """Send at once, after what was written before."""
        self._pending.append(data)
        self.flush()

    @property
    def is_full(self) -> bool:
        """Whether so much was written in this turn of the loop that the broker should not wait for the rest."""
        return len(self._pending) >= _FULL

    def write_now(self, data: bytes) -> None:
        """Send at once, from any thread that holds the lock."""
        sent = 0
        if not self._pending and self._plain_socket >= 0 and self.get_write_buffer_size() == 0:
            with suppress(OSError):  # full, or broken: both are the transport's to find out
                sent = os.write(self._plain_socket, data)
        if sent < len(data):
            # What the loop has added meanwhile came after it.
            self._pending.insert(0 if sent else len(self._pending), data[sent:])
            self._loop.call_soon_threadsafe(self.flush)

    def hold(self) -> None:
        """Take the lock on the loop.

        Raises:
            ConnectionLost: the thread that has it does not go on: a signal handler in it may be waiting for us.
        """
        if not self.lock.acquire(timeout=self._patience):
            raise self.torn()

    def torn(self) -> ConnectionLost:
        """End the connection, as a thread was interrupted in the middle of a publish; return what to raise."""
        self._broken = torn = ConnectionLost("a publish was interrupted")
        self._patience = _TORN_SECONDS
        self.abort()
        return torn

    def flush(self) -> None:
        """Send what was written."""
        with suppress(ConnectionLost):
            self.hold()
            try:
                pending, self._pending = self._pending, []
                if self._transport is not None and pending:
                    self._transport.write(b"".join(pending))
            finally:
                self.lock.release()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def get_protocol(self) -> Any:
        return self._pika

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if transport.get_extra_info("sslcontext") is None:
            self._plain_socket = transport.get_extra_info("socket").fileno()
            if POSSIBLE:
                self.reading = SharedReading(self._loop, transport, self.taps, self)
        self._pika.connection_made(self)

    def connection_lost(self, error: Exception | None) -> None:
        try:
            if self.reading is not None:
                self.reading.close()
        finally:
            held = self.lock.acquire(timeout=self._patience)
            # The socket is closed after this, and its number may soon be another file's.
            self._transport, self._plain_socket = None, -1
            if held:
                self.lock.release()
            self._pika.connection_lost(error or self._broken)

    def eof_received(self) -> bool | None:
        keep: bool | None = self._pika.eof_received()
        return keep

    def broken(self, error: OSError | None) -> None:
        if error is not None:
            self._broken = error
            self.abort()
        elif not self.eof_received() and self._transport is not None:
            self._transport.close()


class _Protocol(asyncio.BufferedProtocol):
    """Receives into a buffer of our own: asyncio's is so large that the system maps and clears it anew for every read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's form
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._stream.taps.take(bytes(self._buffer[:nbytes]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._stream.eof_received()


class IoServices(nbio_interface.AbstractIOServices):
    """pika's view of an event loop, on asyncio's public methods."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stream: Stream | None = None
        self._loop = loop

    @property
    def opened(self) -> Stream:
        """The stream of the connection, once that is there."""
        assert self._stream is not None
        return self._stream

    def get_native_ioloop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def close(self) -> None:
        """The loop is not ours to close."""

    run = stop = close

    def add_callback_threadsafe(self, callback: Callable[..., None]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        return self._loop.call_later(delay, callback)

    def getaddrinfo(  # noqa: PLR0917 - pika's signature
        self,
        host: str,
        port: int,
        on_done: Callable[..., None],
        family: int = 0,
        socktype: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> "_Work":
        found = self._loop.getaddrinfo(host, port, family=family, type=socktype, proto=proto, flags=flags)
        return _Work(self._loop, found, on_done)

    def connect_socket(self, sock: socket.socket, resolved_addr: Any, on_done: Callable[..., None]) -> "_Work":
        return _Work(self._loop, self._loop.sock_connect(sock, resolved_addr), on_done, sock)

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[..., None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> "_Work":
        pika = protocol_factory()
        self._stream = stream = Stream(self._loop, pika)

        async def connect() -> tuple[Stream, Any]:
            name = server_hostname or "" if ssl_context else None  # empty: not to be checked
            await self._loop.create_connection(
                lambda: _Protocol(stream), sock=sock, ssl=ssl_context, server_hostname=name
            )
            return stream, pika

        return _Work(self._loop, connect(), on_done, sock)


class _Work(nbio_interface.AbstractIOReference):
    """Something that goes on; pika is told its result or error, unless it cancels it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        on_done: Callable[..., None],
        sock: socket.socket | None = None,
    ) -> None:
        self._sock = sock
        self._task = loop.create_task(work)
        self._on_done = on_done
        self._task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled():
            self._on_done(task.exception() or task.result())
        elif self._sock is not None:
            self._sock.close()  # by pika, or by a loop that ends and leaves nobody else to do it

    def cancel(self) -> bool:
        return self._task.cancel()
