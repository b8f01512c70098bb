"""Schedules at run time: made, paused, resumed, run and looked at, by code and commands that know the store.

schedules = Schedules(Database("sqlite:///warren.db"))
schedules.add(of_plan(every("0 3 * * *", name="nightly"), reports.build))
schedules.pause("nightly")
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from msgspec.structs import replace
from sqlalchemy import Connection

from warren import clock
from warren.errors import InvalidSchedule, UnknownSchedule
from warren.options import MAX_SECONDS, MAX_YEARS
from warren.schedule import Schedule, Spec, told
from warren.scheduler import triggers
from warren.scheduler.due import jitter
from warren.store import schedules as store
from warren.store.database import Database
from warren.store.schedules import Fire, FireState, Origin, Stored

_FIRES = uuid.UUID("5b0d2f0e-6f5c-5f0a-9d0c-0a7c1d1e5a11")
"""The UUID namespace of fires; never to be changed, or what was fired before an upgrade could fire again after it."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What bringing the store up to what is declared has changed, by names."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    retired: tuple[str, ...]


def job_id(schedule: str, due: float, *, manual: bool = False) -> str:
    """Return the id of the job of one due time: the same whoever fires it."""
    return str(uuid.uuid5(_FIRES, f"{schedule}@{round(due * 1000)}{'!' if manual else ''}"))


class Schedules:
    """The schedules of one store.

    Args:
        database: with its tables (`Database.migrate`).
        clock: instead of the machine's.
    """

    def __init__(self, database: Database, clock: clock.Clock = clock.wall) -> None:
        self._database = database
        self._clock = clock

    def add(self, schedule: Schedule, origin: Origin = Origin.RUNTIME) -> Stored:
        """Make a schedule; from now on, it fires.

        Raises:
            InvalidSchedule: there is one of that name, or its rule is none, or is never due.
        """
        checked(schedule)
        with self._changing() as connection:
            there = store.get(connection, schedule.name)
            if there is not None and not there.retired:
                raise InvalidSchedule(
                    f"there is a schedule {schedule.name!r} already, {told(there.schedule.spec)} of task "
                    f"{there.schedule.order.task!r}: take another name, or remove that first"
                )
            made = new(schedule, origin, self._clock())
            if made.next_due is None:
                raise InvalidSchedule(f"schedule {schedule.name!r}, {told(schedule.spec)}, is never due from now on")
            store.put(connection, made)
        return made

    def remove(self, name: str) -> None:
        """Forget a schedule that was made at run time.

        Raises:
            UnknownSchedule: there is none of that name.
            InvalidSchedule: it is declared in code.
        """
        with self._changing() as connection:
            there = self._get(connection, name)
            if there.origin is Origin.CODE and not there.retired:
                raise InvalidSchedule(
                    f"schedule {name!r} is declared in code and would be there again at the next start: take it out of "
                    "the code, or pause it"
                )
            store.remove(connection, name)

    def pause(self, name: str) -> bool:
        """Have a schedule fire no more until it is resumed, also when it is declared anew; False when it was paused already.

        Raises:
            UnknownSchedule: there is none of that name.
        """
        with self._changing() as connection:
            there = self._get(connection, name)
            if not there.paused:
                store.put(connection, replace(there, paused=True))
        return not there.paused

    def resume(self, name: str) -> bool:
        """Have a schedule fire again from now on; what was due meanwhile is not made up for. False when it was not paused.

        A job that was published and of which no end was heard holds nothing up any more.

        Raises:
            UnknownSchedule: there is none of that name.
        """
        now = self._clock()
        with self._changing() as connection:
            there = self._get(connection, name)
            if there.paused:
                # Also back to before the last due time, where that came from a clock that was wrong: what fired is there.
                store.put(connection, asleep_until(replace(there, paused=False, last_due=0.0), now))
                store.forget_open(connection, name, now)
        return there.paused

    def run(self, name: str) -> Fire:
        """Have a schedule fire once now, whatever its rule and its previous job: the leading scheduler publishes the job.

        Raises:
            UnknownSchedule: there is none of that name.
        """
        now = self._clock()
        with self._database.write() as connection:
            fire = claimed(self._get(connection, name).schedule, now, now, manual=True)
            store.claim(connection, [fire])
        return fire

    def get(self, name: str) -> Stored:
        """Return one schedule.

        Raises:
            UnknownSchedule: there is none of that name.
        """
        with self._database.read() as connection:
            return self._get(connection, name)

    def list(self) -> list[tuple[Stored, Fire | None]]:
        """Return all schedules by name, each with what it fired last."""
        with self._database.read() as connection:
            last = store.last_fires(connection)
            return [(stored, last.get(stored.name)) for stored in store.every(connection)]

    def fired(self, name: str, limit: int = 10) -> Sequence[Fire]:
        """Return what a schedule fired last, the newest first."""
        with self._database.read() as connection:
            return store.recent(connection, name, limit)

    def sync(self, declared: Sequence[Schedule]) -> Synced:
        """Bring the store up to what is declared in code: new ones appear, changed ones change, those that are no more retire.

        What was paused at run time stays paused, unless the declaration says something else about that than before.

        Raises:
            InvalidSchedule: one has the name of a schedule that was made at run time.
        """
        now = self._clock()
        with self._changing() as connection:
            there = {stored.name: stored for stored in store.every(connection)}
            _no_conflict(declared, there)
            wanted = {schedule.name: merged(there.get(schedule.name), schedule, now) for schedule in declared}
            new = {name: stored for name, stored in wanted.items() if stored != there.get(name)}
            gone = [
                stored
                for name, stored in there.items()
                if stored.origin is Origin.CODE and not stored.retired and name not in wanted
            ]
            for stored in (*new.values(), *(replace(stored, retired=True) for stored in gone)):
                store.put(connection, stored)
        added = tuple(name for name in new if name not in there or there[name].retired)
        changed = tuple(name for name in new if name not in added)
        return Synced(added, changed, tuple(stored.name for stored in gone))

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            store.alone(connection)
            yield connection

    def _get(self, connection: Connection, name: str) -> Stored:
        found = store.get(connection, name)
        if found is None:
            raise UnknownSchedule(name)
        return found


def claimed(schedule: Schedule, due: float, now: float, *, manual: bool = False) -> Fire:
    """Return the fire of a due time, to be published."""
    due = round(due, 3)
    identity = job_id(schedule.name, due, manual=manual)
    return Fire(identity, schedule.name, due, manual, FireState.CLAIMED, schedule.order, now)


def new(schedule: Schedule, origin: Origin, now: float) -> Stored:
    """Return a schedule that is made now: what was due before does not count."""
    made = Stored(
        schedule, origin, schedule.paused, retired=False, created_at=now, last_due=0.0, next_due=0.0, wake_at=0.0
    )
    return asleep_until(made, now)


def asleep_until(stored: Stored, now: float) -> Stored:
    """Return a schedule that has nothing due before now; but never back before what it has dealt with."""
    last = max(round(now, 3), stored.last_due)
    following = triggers.next_due(stored.schedule.spec, last)
    wake = None if following is None else following + jitter(stored.name, stored.schedule.spec, following)
    return replace(stored, last_due=last, next_due=following, wake_at=wake)


def merged(there: Stored | None, declared: Schedule, now: float) -> Stored:
    """Return what becomes of a schedule in the store by its declaration."""
    if there is None:
        return new(declared, Origin.CODE, now)
    if there.schedule == declared and not there.retired:
        return there
    paused = there.paused if there.schedule.paused == declared.paused else declared.paused
    changed = replace(there, schedule=declared, paused=paused, retired=False, origin=Origin.CODE)
    is_same = _when(there.schedule.spec) == _when(declared.spec) and not there.retired
    return changed if is_same and paused == there.paused else asleep_until(changed, now)


def checked(schedule: Schedule) -> Schedule:
    """Return a schedule that can be kept, or say why it cannot.

    Raises:
        InvalidSchedule: no name, a rule that APScheduler does not take, an unknown time zone, or moments beyond all bounds.
    """
    if not schedule.name.strip() or not schedule.name.isprintable():
        raise InvalidSchedule(f"{schedule.name!r} is no name for a schedule: take letters that can be read")
    for name, seconds in (("expires", schedule.order.expires), ("deadline", schedule.order.deadline)):
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise InvalidSchedule(
                f"schedule {schedule.name!r}: {name}={seconds:g}: take seconds above 0, not more than {MAX_YEARS} years"
            )
    triggers.check(schedule.spec)
    return schedule


def next_runs(stored: Stored, now: float, count: int) -> list[float]:
    """Return the next due times."""
    return list(islice(triggers.upcoming(stored.schedule.spec, max(stored.last_due, now)), count))


def _when(spec: Spec) -> Spec:
    """As much of a rule as decides what is due."""
    return Spec(spec.rule, start=spec.start, end=spec.end, jitter=spec.jitter)


def _no_conflict(declared: Sequence[Schedule], there: dict[str, Stored]) -> None:
    for schedule in declared:
        other = there.get(schedule.name)
        if other is not None and other.origin is Origin.RUNTIME:
            raise InvalidSchedule(
                f"schedule {schedule.name!r} of task {schedule.order.task!r} has the name of one that was made at run time, "
                f"{told(other.schedule.spec)} of task {other.schedule.order.task!r}: give it another with name=, or "
                f"`warren schedules remove {schedule.name}`"
            )
