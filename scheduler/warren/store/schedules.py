"""Schedules in the store, and every time that one fired: rows and values, inside the transaction that is given.

A due time is dealt with by whoever moves its schedule's `last_due` past it, which only one can (`advance`). What it claims by
that in the same transaction stands until somebody has published it; so nothing is lost with a scheduler that dies.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, text, update

from warren.schedule import Order, Schedule
from warren.states import FINAL
from warren.store.tables_schedules import fires, schedules


class Origin(StrEnum):
    """Where a schedule comes from."""

    CODE = "code"
    RUNTIME = "runtime"


class FireState(StrEnum):
    """What became of one due time; jobs that were published go on to be done, dead, cancelled or expired.

    SKIPPED is a due time without a job, as the previous one had not ended; FORGOTTEN a job of which nothing was heard
    when its schedule was resumed; GIVEN_UP one that was not published, as its schedule was removed or its message cannot be.
    """

    CLAIMED = "claimed"
    PUBLISHED = "published"
    CANCELLING = "cancelling"
    SKIPPED = "skipped"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FORGOTTEN = "forgotten"
    GIVEN_UP = "given_up"


OPEN = (FireState.CLAIMED, FireState.PUBLISHED, FireState.CANCELLING)
"""Of jobs that have not ended, as far as is known."""


class Stored(msgspec.Struct, frozen=True):
    """A schedule as it is in the store.

    Attributes:
        schedule: as it was declared; `paused` is how it began.
        paused: whether it is now.
        retired: whether it was declared in code, and is no more.
        last_due: the last due time that was dealt with.
        wake_at: when it has to be looked at: its next due time with its jitter.
    """

    schedule: Schedule
    origin: Origin
    paused: bool
    retired: bool
    created_at: float
    last_due: float
    next_due: float | None
    wake_at: float | None

    @property
    def name(self) -> str:
        return self.schedule.name


class Fire(msgspec.Struct, frozen=True):
    """One due time of a schedule, with the job that it enqueues; `manual` when somebody asked for it and no clock."""

    job_id: str
    schedule: str
    due: float
    manual: bool
    state: FireState
    job: Order
    claimed_at: float
    published_at: float | None = None
    ended_at: float | None = None


def alone(connection: Connection) -> None:
    """Be the only one who changes schedules until this transaction ends, so that what is read does not change meanwhile.

    On SQLite every transaction that writes is; see `warren.store.database`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {schedules.name} IN SHARE ROW EXCLUSIVE MODE"))


def put(connection: Connection, stored: Stored) -> None:
    """Add a schedule, or replace what there is of its name."""
    connection.execute(delete(schedules).where(schedules.c.name == stored.name))
    connection.execute(insert(schedules).values(_values(stored)))


def remove(connection: Connection, name: str) -> None:
    """Forget a schedule; the times it fired stay."""
    connection.execute(delete(schedules).where(schedules.c.name == name))


def get(connection: Connection, name: str) -> Stored | None:
    """Return one by its name."""
    found = connection.execute(select(schedules).where(schedules.c.name == name)).one_or_none()
    return None if found is None else _stored(found)


def every(connection: Connection) -> list[Stored]:
    """Return all of them, by name."""
    return [_stored(row) for row in connection.execute(select(schedules).order_by(schedules.c.name))]


def awake(connection: Connection, now: float, limit: int) -> list[Stored]:
    """Return those that have something due, the longest waiting first."""
    due = select(schedules).where(schedules.c.wake_at <= now).order_by(schedules.c.wake_at).limit(limit)
    return [_stored(row) for row in connection.execute(due)]


def next_wake(connection: Connection) -> float | None:
    """Return when the first of all has to be looked at."""
    found: float | None = connection.execute(select(func.min(schedules.c.wake_at))).scalar_one()
    return found


def advance(
    connection: Connection, stored: Stored, last_due: float, next_due: float | None, wake: float | None
) -> bool:
    """Move a schedule past its due times; False when somebody else has, or has changed it since it was read."""
    moved = connection.execute(
        update(schedules)
        .where(
            schedules.c.name == stored.name,
            schedules.c.last_due == stored.last_due,
            schedules.c.wake_at == stored.wake_at,
        )
        .values(last_due=last_due, next_due=next_due, wake_at=wake)
    )
    return moved.rowcount == 1


def claim(connection: Connection, claimed: Sequence[Fire]) -> None:
    """Note due times; one that is there already stays as it is."""
    for fire in claimed:
        there = or_(
            fires.c.job_id == fire.job_id,
            and_(fires.c.schedule == fire.schedule, fires.c.due == fire.due, fires.c.manual == fire.manual),
        )
        if connection.execute(select(fires.c.job_id).where(there)).first() is None:
            connection.execute(insert(fires).values(_fire_values(fire)))


def with_unpublished(connection: Connection) -> list[str]:
    """Return the names of the schedules that have something claimed, whoever waits longest first."""
    claimed = select(fires.c.schedule).where(fires.c.state == FireState.CLAIMED).group_by(fires.c.schedule)
    return list(connection.execute(claimed.order_by(func.min(fires.c.due), fires.c.schedule)).scalars())


def unpublished(connection: Connection, schedule: str, limit: int) -> list[Fire]:
    """Return what of a schedule is claimed and not known to be published, the oldest first."""
    claimed = select(fires).where(fires.c.schedule == schedule, fires.c.state == FireState.CLAIMED)
    return [_fire(row) for row in connection.execute(claimed.order_by(fires.c.due).limit(limit))]


def give_up_removed(connection: Connection, schedule: str, now: float) -> int:
    """Publish nothing more of what a schedule has claimed that is no more, and return how much that was."""
    is_there = select(schedules.c.name).where(schedules.c.name == schedule).exists()
    given_up = update(fires).where(fires.c.schedule == schedule, fires.c.state == FireState.CLAIMED, ~is_there)
    return connection.execute(given_up.values(state=FireState.GIVEN_UP, ended_at=now)).rowcount


def give_up(connection: Connection, ids: Sequence[str], now: float) -> None:
    """Note that fires are not published, as their messages cannot be."""
    given_up = update(fires).where(fires.c.job_id.in_(ids), fires.c.state == FireState.CLAIMED)
    connection.execute(given_up.values(state=FireState.GIVEN_UP, ended_at=now))


def mark(connection: Connection, ids: Sequence[str], state: FireState, now: float) -> None:
    """Note that fires were published, or are being cancelled; not of those that have ended meanwhile."""
    times = {"published_at": now} if state is FireState.PUBLISHED else {}
    # One that was on its way when its schedule was removed may be published after all.
    before = (FireState.CLAIMED, FireState.GIVEN_UP) if state is FireState.PUBLISHED else OPEN
    connection.execute(
        update(fires).where(fires.c.job_id.in_(ids), fires.c.state.in_(before)).values(state=state, **times)
    )


def end(connection: Connection, job_id: str, state: FireState, now: float) -> bool:
    """Note that a job has ended; False when it is none of a schedule's, or that is known. The last word counts: the dead are replayed."""
    ended = connection.execute(
        update(fires).where(fires.c.job_id == job_id, fires.c.state != state).values(state=state, ended_at=now)
    )
    return ended.rowcount == 1


def forget_open(connection: Connection, schedule: str, now: float) -> None:
    """Have no published job of a schedule count as one that has not ended."""
    waited_for = (FireState.PUBLISHED, FireState.CANCELLING)
    connection.execute(
        update(fires)
        .where(fires.c.schedule == schedule, fires.c.state.in_(waited_for))
        .values(state=FireState.FORGOTTEN, ended_at=now)
    )


def still_open(connection: Connection, schedule: str, *, before: float | None = None) -> list[Fire]:
    """Return the fires of a schedule whose jobs have not ended, of due times before one."""
    found = select(fires).where(fires.c.schedule == schedule, fires.c.state.in_(OPEN)).order_by(fires.c.due)
    if before is not None:
        found = found.where(fires.c.due < before)
    return [_fire(row) for row in connection.execute(found)]


def recent(connection: Connection, schedule: str, limit: int) -> list[Fire]:
    """Return what a schedule fired last, the newest first."""
    found = select(fires).where(fires.c.schedule == schedule).order_by(fires.c.due.desc(), fires.c.manual.desc())
    return [_fire(row) for row in connection.execute(found.limit(limit))]


def last_fires(connection: Connection) -> dict[str, Fire]:
    """Return the last fire of every schedule."""
    latest = select(fires.c.schedule, func.max(fires.c.due).label("due")).group_by(fires.c.schedule).subquery()
    both = and_(fires.c.schedule == latest.c.schedule, fires.c.due == latest.c.due)
    return {row.schedule: _fire(row) for row in connection.execute(select(fires).join(latest, both))}


def prune(connection: Connection, before: float, limit: int) -> int:
    """Drop at most so many fires that were claimed before a moment, and return how many."""
    published = fires.c.state != FireState.CLAIMED
    old = select(fires.c.job_id).where(fires.c.claimed_at < before, published).limit(limit)
    return connection.execute(delete(fires).where(fires.c.job_id.in_(old))).rowcount


def state_of(job_state: str) -> FireState | None:
    """Return the state of a fire whose job has come to this; None while it has not ended."""
    return FireState(job_state) if job_state in FINAL else None


def _values(stored: Stored) -> dict[str, object]:
    asleep = stored.paused or stored.retired
    return {
        "name": stored.name,
        "origin": stored.origin,
        "schedule": msgspec.json.encode(stored.schedule).decode(),
        "paused": stored.paused,
        "retired": stored.retired,
        "created_at": stored.created_at,
        "last_due": stored.last_due,
        "next_due": None if asleep else stored.next_due,
        "wake_at": None if asleep else stored.wake_at,
    }


def _stored(row: Row[tuple[object, ...]]) -> Stored:
    return Stored(
        _SCHEDULE.decode(row.schedule),
        Origin(row.origin),
        row.paused,
        row.retired,
        row.created_at,
        row.last_due,
        row.next_due,
        row.wake_at,
    )


def _fire_values(fire: Fire) -> dict[str, object]:
    return {**msgspec.structs.asdict(fire), "job": msgspec.json.encode(fire.job).decode()}


def _fire(row: Row[tuple[object, ...]]) -> Fire:
    told = {**row._mapping}  # noqa: SLF001 - SQLAlchemy's public name for it
    return Fire(**{**told, "state": FireState(row.state), "job": _ORDER.decode(row.job)})


_SCHEDULE = msgspec.json.Decoder(Schedule)
_ORDER = msgspec.json.Decoder(Order)
