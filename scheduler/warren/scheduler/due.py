"""What a schedule has to enqueue now: pure, from its rule, the last due time that was dealt with, and the clock.

Only due times after the last one are ever looked at; so a clock that is set back repeats nothing, and two leaders that see
the same row come to the same answer.
"""

import hashlib
from dataclasses import dataclass
from itertools import islice

from warren.schedule import Misfire, Spec
from warren.scheduler.triggers import latest_due, next_due, upcoming

MOST_AT_ONCE = 1000
"""Due times that are dealt with in one go; what is left of a long sleep comes in the next."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now, and when to look again.

    Attributes:
        fires: due times to enqueue a job for, in order.
        last_due: the last one that is dealt with by this.
        missed: how many due times nobody was there for, within their grace; at least so many after a very long sleep.
        made_up: how many of `fires` are for these.
        next_due: the next one; None when none is left.
        wake_at: when to look again; later than `next_due` by its jitter.
    """

    fires: tuple[float, ...]
    last_due: float
    missed: int
    made_up: int
    next_due: float | None
    wake_at: float | None


def decide(name: str, spec: Spec, last_due: float, now: float) -> Decision:
    """Return what a schedule has to enqueue.

    Args:
        name: the schedule's; its jitter depends on it.
        spec: its rule.
        last_due: what was dealt with before; at first the moment when the schedule was made.
        now: by the clock.
    """
    start, dropped = _after_what_is_dropped(spec, last_due, now)
    ready: list[float] = []
    for due in islice(upcoming(spec, start), MOST_AT_ONCE):
        if due + jitter(name, spec, due) > now:
            break
        ready.append(due)
    handled = ready[-1] if ready else start
    in_time = [due for due in ready if now - due - jitter(name, spec, due) <= spec.grace]
    fires = _to_fire(spec, ready, in_time)
    missed, made_up = dropped + len(ready) - len(in_time), len(fires) - len(in_time)
    following = next_due(spec, handled)
    wake_at = None if following is None else following + jitter(name, spec, following)
    return Decision(tuple(fires), handled, missed, made_up, following, wake_at)


def jitter(name: str, spec: Spec, due: float) -> float:
    """Return how much later than due a job is enqueued: the same whoever asks, different for each due time."""
    if not spec.jitter:
        return 0.0
    digest = hashlib.sha256(f"{name}@{due:.3f}".encode()).digest()
    return spec.jitter * int.from_bytes(digest[:6], "big") / 2**48


def _after_what_is_dropped(spec: Spec, last_due: float, now: float) -> tuple[float, int]:
    """Where a misfire policy passes over most of a long sleep, go to its end; how many were passed over, at least."""
    if spec.misfire is Misfire.RUN_ALL:
        return last_due, 0
    # The newest that is missed for certain may be what makes up for the others.
    newest = latest_due(spec, last_due, now - spec.grace - spec.jitter) if now > last_due else None
    if newest is None:
        return last_due, 0
    passed, before = 0, last_due
    for due in islice(upcoming(spec, last_due), MOST_AT_ONCE):
        if due >= newest:
            break
        passed, before = passed + 1, due
    # After very many the count is only a lower bound; the place is exact: just before the newest.
    return (before if passed < MOST_AT_ONCE else newest - 0.001), passed


def _to_fire(spec: Spec, ready: list[float], in_time: list[float]) -> list[float]:
    match spec.misfire:
        case Misfire.RUN_ALL:
            return ready
        case Misfire.SKIP:
            return in_time
        case Misfire.RUN_ONCE:
            return in_time or ready[-1:]
