"""What a recorder writes: facts and its own place in the stream, in one transaction; so nothing is recorded twice or left out.

The place is also the fence: whoever finds that another has moved it writes nothing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from warren.store import history, places
from warren.store.database import Database
from warren.store.gathering import Gathered


class Overtaken(Exception):
    """Another recorder has written meanwhile."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The history of one stream in one database.

    Attributes:
        stream: its name on the broker.
    """

    database: Database
    stream: str

    def following(self) -> int | None:
        """Return the offset of the first message that is not recorded yet; None when none ever was."""
        with self.database.read() as connection:
            return self._following(connection)

    def record(self, gathered: Gathered, following: int | None, after: int, now: float, missed: int = 0) -> None:
        """Write what facts tell.

        Args:
            gathered: what the messages before `after` tell.
            following: the place as it was.
            after: the place as it is then.
            now: seconds since the epoch.
            missed: of the messages in between, those that the stream had dropped.

        Raises:
            Overtaken: another recorder was here; nothing is written.
        """
        with self.database.write() as connection:
            history.record(connection, gathered, now)  # first: it locks
            if self._following(connection) != following:
                raise Overtaken
            places.advance(connection, self.stream, after, now, missed)

    def _following(self, connection: Connection) -> int | None:
        place = places.place(connection, self.stream)
        return place.next_offset if place else None
