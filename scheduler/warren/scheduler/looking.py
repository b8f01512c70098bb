"""A look at the schedules in the store: what is due is claimed there, before anybody publishes anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import Connection

from warren.errors import InvalidSchedule
from warren.events import Event
from warren.events_schedules import ScheduleDelayed, ScheduleMissed, ScheduleSkipped
from warren.schedule import Overlap
from warren.scheduler.due import Decision, decide, jitter
from warren.scheduler.schedules import claimed
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import Fire, FireState, Stored

_SCHEDULES_AT_ONCE = 100
_FIRES_AT_ONCE = 1000
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


def look(database: Database, now: float) -> Look:
    """Claim what is due, and return everything that is claimed and not published.

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
        waiting = store.unpublished(connection, _FIRES_AT_ONCE)
        known = {name: store.get(connection, name) for name in {fire.schedule for fire in waiting}}
        outgoing = tuple(_outgoing(connection, fire, known[fire.schedule]) for fire in waiting)
        return Look(outgoing, tuple(happened), store.next_wake(connection))


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


def _outgoing(connection: Connection, fire: Fire, stored: Stored | None) -> Outgoing:
    if stored is None or fire.manual:
        return Outgoing(fire, fire.due)
    spec = stored.schedule.spec
    cancels: Sequence[Fire] = ()
    if spec.overlap is Overlap.CANCEL_RUNNING:
        cancels = store.still_open(connection, fire.schedule, before=fire.due)
    ids = tuple(each.job_id for each in cancels if each.state is not FireState.CANCELLING)
    return Outgoing(fire, fire.due + jitter(fire.schedule, spec, fire.due), ids)
