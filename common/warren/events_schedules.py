"""What happens to schedules, as events; see `warren.events`."""

import msgspec


class SchedulesRead(msgspec.Struct, frozen=True):
    """A scheduler has brought the store up to the schedules that its modules declare."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    retired: tuple[str, ...]


class ScheduleFired(msgspec.Struct, frozen=True):
    """A schedule's job was confirmed; `late` is how long after its due time, with its jitter."""

    schedule: str
    job_id: str
    task: str
    queue: str
    due: float
    late: float


class ScheduleMissed(msgspec.Struct, frozen=True):
    """Nobody was there for due times of a schedule; `made_up` jobs make up for them, by its misfire policy.

    `missed` is the least number; they are not all counted after a very long time.
    """

    schedule: str
    missed: int
    made_up: int
    policy: str


class ScheduleSkipped(msgspec.Struct, frozen=True):
    """Due times of a schedule got no job, as its previous one has not ended; see its overlap policy."""

    schedule: str
    skipped: int
    previous: str


class ScheduleDelayed(msgspec.Struct, frozen=True):
    """The broker does not take a schedule's job just now; it is tried again."""

    schedule: str
    job_id: str
    error: str


class ScheduleGivenUp(msgspec.Struct, frozen=True):
    """Jobs of a schedule are not published, now or later: it was removed, or their message cannot be made."""

    schedule: str
    jobs: int
    error: str


class StoreAway(msgspec.Struct, frozen=True):
    """The database does not answer; what waits for it is tried again."""

    error: str


ScheduleEvent = (
    SchedulesRead | ScheduleFired | ScheduleMissed | ScheduleSkipped | ScheduleDelayed | ScheduleGivenUp | StoreAway
)
