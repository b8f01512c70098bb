"""Looks at every frame that comes in: those that a tap of their channel takes never reach pika, all others do."""

from collections.abc import Callable
from typing import Any

from warren.amqp.pika_frames import END, HEAD, OVERHEAD

Tap = Callable[[int, bytes, int, int], bool]
"""Takes a frame, or leaves it to pika: its kind, the bytes it is in, and where its payload begins and ends."""
_LAST_KIND = 8
"""Of frames; anything above is a broker of another protocol version, for pika to refuse."""


class Taps:
    """The taps of one connection, by channel; used by one thread at a time.

    Attributes:
        on_loop: may take anything.
        of_answers: take answers to publishes, in any thread.
    """

    def __init__(self, pika: Any) -> None:
        self.on_loop: dict[int, Tap] = {}
        self.of_answers: dict[int, Tap] = {}
        self._pika = pika
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take what came, on the loop."""
        if self._rest:
            data = self._rest + data
        taps, at, size, tapped = self.on_loop, 0, len(data), 0
        while size - at >= OVERHEAD:
            kind, channel, length = HEAD.unpack_from(data, at)
            after = at + OVERHEAD + length if kind <= _LAST_KIND else size
            if after > size:
                break
            tap = taps.get(channel)
            if tap is not None and data[after - 1] == END and tap(kind, data, at + HEAD.size, after - 1):
                tapped += after - at
            else:
                self._pika.data_received(data[at:after])
            at = after
        self._rest = data[at:]
        if tapped:
            # Heartbeats are judged by it; a busy broker sends none.
            self._pika.conn.bytes_received += tapped

    def take_answers(self, data: bytes) -> bytes:
        """Take answers to publishes; return what begins with anything else, for `take`."""
        data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while size - at >= OVERHEAD:
            kind, channel, length = HEAD.unpack_from(data, at)
            after, tap = at + OVERHEAD + length, self.of_answers.get(channel)
            if tap is None or after > size or data[after - 1] != END or not tap(kind, data, at + HEAD.size, after - 1):
                break
            at = after
        self._pika.conn.bytes_received += at
        return data[at:]
