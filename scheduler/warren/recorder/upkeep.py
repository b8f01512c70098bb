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
_SHARE = 0.1
"""Of the store's time, while what happens waits to be recorded."""
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
    _worked: float = field(default=0.0, init=False)
    """Seconds that the chores took since the last pause."""

    async def run(self, call: Callable[[Callable[[], bool]], Awaitable[bool]], is_behind: Callable[[], bool]) -> None:
        """Do it until cancelled, a little at a time, and less while what happens waits to be recorded.

        Args:
            call: has a function called in the store's thread.
            is_behind: whether what happened a while ago waits to be written.
        """
        while True:
            self._worked = 0.0
            busy = False
            for chore in (self._index, self._ripen, self._retain):
                busy = await call(chore) or busy
            await asyncio.sleep(pause(self._worked, busy=busy, behind=is_behind()))

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
        started = time.monotonic()
        with self.database.write() as connection:
            done = chore(connection)
        self._worked += time.monotonic() - started
        return done


def pause(worked: float, *, busy: bool, behind: bool) -> float:
    """Return for how many seconds nothing is done.

    Args:
        worked: seconds of work since the last pause.
        busy: whether there is more to do at once.
        behind: whether recording needs the time more.
    """
    if behind:
        return max(_PAUSE_SECONDS, worked * (1 / _SHARE - 1))
    return 0.0 if busy else _PAUSE_SECONDS
