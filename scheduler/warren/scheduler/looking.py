"""A look at the schedules in the store: what is due is claimed there, before anybody publishes anything."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import Connection

from warren.errors import InvalidSchedule
from warren.events import Event
from warren.events_schedules import ScheduleDelayed, ScheduleGivenUp, ScheduleMissed, ScheduleSkipped
from warren.schedule import Overlap
from warren.scheduler.due import Decision, decide, jitter
from warren.scheduler.schedules import claimed
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import Fire, FireState, Stored

_SCHEDULES_AT_ONCE = 100
_FIRES_AT_ONCE = 1000
_OF_ONE_AT_ONCE = 100
"""So that a schedule with many to be published leaves room for the others."""
_PUT_OFF_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A fire to be published, and the jobs to be cancelled before it."""

    fire: Fire
    ready_at: float
    """When it was to be published: its due time, or later by its jitter."""
    cancels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the store came to."""

    outgoing: tuple[Outgoing, ...]
    happened: tuple[Event, ...]
    wake_at: float | None
    has_more: bool = False
    """Whether more is claimed than could be taken at once."""


def look(database: Database, now: float, held: Collection[str] = ()) -> Look:
    """Claim what is due, and return what is claimed and not published, the oldest of each schedule.

    Args:
        database: the store.
        now: seconds since the epoch.
        held: the schedules of which nothing is published just now.

    Raises:
        StoreUnavailable, StoreEmpty: not now.
    """
    happened: list[Event] = []
    with database.read() as connection:
        wake_at = store.next_wake(connection)
    if wake_at is not None and wake_at <= now:
        with database.write() as connection:
            for stored in store.awake(connection, now, _SCHEDULES_AT_ONCE):
                happened += _claim_or_put_off(connection, stored, now)
    with database.read() as connection:
        waiting = {name: store.get(connection, name) for name in store.with_unpublished(connection)}
        outgoing, has_more = _outgoing_of(connection, [each for each in waiting.values() if each], held)
        wake_at = store.next_wake(connection)
    gone = [name for name, stored in waiting.items() if stored is None]
    return Look(tuple(outgoing), (*happened, *_given_up(database, gone, now)), wake_at, has_more)


def _claim_or_put_off(connection: Connection, stored: Stored, now: float) -> list[Event]:
    try:
        return _claim(connection, stored, now)
    except InvalidSchedule as error:  # its time zone is known where it was made, and not here; the others go on
        store.advance(connection, stored, stored.last_due, stored.next_due, now + _PUT_OFF_SECONDS)
        return [ScheduleDelayed(stored.name, "", str(error))]


def _claim(connection: Connection, stored: Stored, now: float) -> list[Event]:
    decision = decide(stored.name, stored.schedule.spec, stored.last_due, now)
    if not store.advance(connection, stored, decision.last_due, decision.next_due, decision.wake_at):
        return []
    previous = store.still_open(connection, stored.name)
    fires = _by_overlap(stored, [claimed(stored.schedule, due, now) for due in decision.fires], bool(previous))
    store.claim(connection, fires)
    skipped = sum(fire.state is FireState.SKIPPED for fire in fires)
    happened: list[Event] = []
    if decision.missed:
        happened.append(_missed(stored, decision))
    if skipped:
        happened.append(ScheduleSkipped(stored.name, skipped, previous[-1].job_id if previous else fires[-1].job_id))
    return happened


def _by_overlap(stored: Stored, fires: list[Fire], has_previous: bool) -> list[Fire]:
    """Leave out those whose turn it is not."""
    match stored.schedule.spec.overlap:
        case Overlap.QUEUE:
            turn = fires
        case Overlap.SKIP:
            turn = [] if has_previous else fires[:1]
        case Overlap.CANCEL_RUNNING:
            turn = fires[-1:]
    return [fire if fire in turn else replace(fire, state=FireState.SKIPPED) for fire in fires]


def _missed(stored: Stored, decision: Decision) -> ScheduleMissed:
    policy = stored.schedule.spec.misfire
    return ScheduleMissed(stored.name, decision.missed, decision.made_up, policy.value)


def _given_up(database: Database, removed: Sequence[str], now: float) -> list[Event]:
    happened: list[Event] = []
    for name in removed:
        with database.write() as connection:
            if count := store.give_up_removed(connection, name, now):
                happened.append(ScheduleGivenUp(name, count, "the schedule was removed"))
    return happened


def _outgoing_of(
    connection: Connection, waiting: Sequence[Stored], held: Collection[str]
) -> tuple[list[Outgoing], bool]:
    """Return some of each, the longest waiting first, and whether there is more."""
    outgoing: list[Outgoing] = []
    has_more = False
    for stored in waiting:
        if stored.name in held:
            continue
        room = min(_OF_ONE_AT_ONCE, _FIRES_AT_ONCE - len(outgoing))
        if not room:
            return outgoing, True
        found = store.unpublished(connection, stored.name, room)
        has_more = has_more or len(found) == room
        outgoing += [_outgoing(connection, fire, stored) for fire in found]
    return outgoing, has_more


def _outgoing(connection: Connection, fire: Fire, stored: Stored) -> Outgoing:
    if fire.manual:
        return Outgoing(fire, fire.due)
    spec = stored.schedule.spec
    cancels: Sequence[Fire] = ()
    if spec.overlap is Overlap.CANCEL_RUNNING:
        cancels = store.still_open(connection, fire.schedule, before=fire.due)
    ids = tuple(each.job_id for each in cancels if each.state is not FireState.CANCELLING)
    return Outgoing(fire, fire.due + jitter(fire.schedule, spec, fire.due), ids)
