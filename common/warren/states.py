"""The states of a job and what moves it, as a table; docs/job-lifecycle.md draws the same table, and a test compares the two."""

from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """Where a job is; the last four are final."""

    DELAYED = "delayed"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL = frozenset({JobState.DONE, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED})

TRANSITIONS: MappingProxyType[JobState, dict[str, JobState]] = MappingProxyType(
    {
        JobState.DELAYED: {"due": JobState.QUEUED, "cancelled": JobState.CANCELLED, "queue deleted": JobState.DEAD},
        JobState.QUEUED: {
            "start": JobState.RUNNING,
            "expired": JobState.EXPIRED,
            "cancelled": JobState.CANCELLED,
            "rejected": JobState.DEAD,
            "delivery limit": JobState.DEAD,
        },
        JobState.RUNNING: {
            "done": JobState.DONE,
            "retry": JobState.DELAYED,
            "crashed": JobState.DELAYED,
            "crashed too often": JobState.DEAD,
            "failed": JobState.DEAD,
            "rejected": JobState.DEAD,
            "cancelled": JobState.CANCELLED,
            "interrupted": JobState.QUEUED,
        },
        JobState.DEAD: {"replay": JobState.QUEUED},
        JobState.DONE: {},
        JobState.CANCELLED: {},
        JobState.EXPIRED: {},
    }
)


class IllegalTransition(Exception):
    """An event that cannot happen to a job in this state: a bug of ours."""

    def __init__(self, state: JobState, event: str) -> None:
        allowed = ", ".join(TRANSITIONS[state]) or "nothing"
        super().__init__(f"a job that is {state} cannot take the event {event!r} (only: {allowed})")


def advance(state: JobState, event: str) -> JobState:
    """Return the state after an event.

    Raises:
        IllegalTransition: the table has no such step.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(state, event) from None
