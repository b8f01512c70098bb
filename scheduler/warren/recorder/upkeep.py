"""What a recorder does for the store besides recording: index texts, tell what is due as queued, drop what is too old or too much."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from warren.clock import wall
from warren.store import searching, upkeep
from warren.store.database import Database

_INDEXED, _RIPENED, _DROPPED = 2_000, 1_000, 500
"""Jobs at a time: between two of these transactions a batch is recorded, if one waits."""
_PAUSE_SECONDS = 0.5
_RETAIN_SECONDS = 10.0


@dataclass(slots=True)
class Upkeep:
    """Keeps one database.

    Attributes:
        age: seconds since its end for which a job is kept; 0 for ever.
        keep: how many jobs that have ended are kept; 0 for all.
    """

    database: Database
    age: float
    keep: int
    _retained: float = field(default=-_RETAIN_SECONDS, init=False)

    async def run(self, call: Callable[[Callable[[], bool]], Awaitable[bool]], is_behind: Callable[[], bool]) -> None:
        """Do it until cancelled, a little at a time, and less while what happens waits to be recorded.

        Args:
            call: has a function called in the store's thread.
            is_behind: whether a batch waits to be written.
        """
        while True:
            busy = False
            for chore in (self._index, self._ripen, self._retain):
                busy = await call(chore) or busy
            await asyncio.sleep(0.0 if busy and not is_behind() else _PAUSE_SECONDS)

    def _index(self) -> bool:
        return self._write(lambda connection: searching.index_texts(connection, wall(), _INDEXED)) >= _INDEXED

    def _ripen(self) -> bool:
        return self._write(lambda connection: upkeep.ripen(connection, wall(), _RIPENED)) >= _RIPENED

    def _retain(self) -> bool:
        if time.monotonic() < self._retained + _RETAIN_SECONDS:
            return False

        def retain(connection: Connection) -> int:
            return upkeep.retain(connection, wall(), age=self.age, keep=self.keep, batch=_DROPPED)

        more = self._write(retain) >= _DROPPED
        if not more:
            self._retained = time.monotonic()
        return more

    def _write(self, chore: Callable[[Connection], int]) -> int:
        with self.database.write() as connection:
            return chore(connection)
