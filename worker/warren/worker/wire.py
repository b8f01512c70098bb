"""A socket's bytes, handed on as they come."""

import asyncio
from collections.abc import Callable

_READ_BYTES = 32_768


class Wire(asyncio.BufferedProtocol):
    """Hands bytes on, and says when there will be no more.

    With a buffer of its own: asyncio's is so large that the system maps and clears it anew for every read.
    """

    def __init__(self, read: Callable[[bytes], None], lost: Callable[[Exception | None], None]) -> None:
        self._read, self._lost = read, lost
        self._buffer = memoryview(bytearray(_READ_BYTES))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's form
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._read(bytes(self._buffer[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)
