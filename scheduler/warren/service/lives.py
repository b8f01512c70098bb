"""Several connections that are lost together."""

import asyncio
from typing import Self

from warren.rebuilding import Life


class Lives:
    """One life made of several: lost with the first of them, closed together, in the order in which they were given.

    Use it as a context where they are built: what was added is closed if building fails or is cancelled.
    """

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._parts: list[Life] = []

    def add(self, life: Life) -> None:
        """Make this a part."""
        self._parts.append(life)
        life.lost.add_done_callback(self._part_lost)

    def lose(self, reason: str) -> None:
        """End it from inside."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def close(self) -> None:
        """Close all parts."""
        for part in self._parts:
            await part.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            await self.close()

    def _part_lost(self, lost: "asyncio.Future[str]") -> None:
        if not lost.cancelled():
            self.lose(lost.result())
