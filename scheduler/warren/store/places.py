"""How far a stream was read into the store, written in the transaction of what was read: so nothing is recorded twice, and nothing not."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from warren.store.tables_history import places


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read on; `missed` messages were gone before anybody read them, the last of them at `missed_at`."""

    next_offset: int
    missed: int
    missed_at: float | None


def place(connection: Connection, stream: str) -> Place | None:
    """Return where to read on, or None for a stream of which nothing was read."""
    row = connection.execute(select(places).where(places.c.stream == stream)).first()
    return Place(row.next_offset, row.missed, row.missed_at) if row else None


def all_places(connection: Connection) -> dict[str, Place]:
    """Return every stream's place."""
    rows = connection.execute(select(places).order_by(places.c.stream))
    return {row.stream: Place(row.next_offset, row.missed, row.missed_at) for row in rows}


def advance(connection: Connection, stream: str, next_offset: int, now: float, missed: int = 0) -> None:
    """Remember where to read on.

    Args:
        connection: of the write transaction in which what was read is recorded.
        stream: by its name at the broker.
        next_offset: of the first message that was not read.
        now: when `missed` was noticed.
        missed: messages that the stream had dropped since the last place.
    """
    values = {"next_offset": next_offset}
    more = {"missed": places.c.missed + missed, "missed_at": now} if missed else {}
    done = connection.execute(update(places).where(places.c.stream == stream).values(**values, **more))
    if not done.rowcount:
        first = {"missed": missed, "missed_at": now} if missed else {"missed": 0}
        connection.execute(insert(places).values(stream=stream, **values, **first))
