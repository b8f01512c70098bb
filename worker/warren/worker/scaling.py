"""How many processes a pool shall have: more while jobs wait and all places are taken, fewer when some have long been idle; pure.

Growing is quick, as jobs wait meanwhile: the number doubles, but there are never more new ones than jobs that wait. Shrinking
is slow, one at a time: a process costs some memory, starting it again some time.
"""

from dataclasses import dataclass

IDLE_SECONDS = 10.0
"""A process that has had nothing to do for so long is one too many; so is the next one, so long after the last change."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a pool.

    Attributes:
        size: its processes.
        settled: whether all of them have started.
        full: whether none can take another job.
        ready: jobs that wait in the served queues.
        idle: seconds for which the one that has had nothing to do for longest has had nothing to do.
        unchanged: seconds since its size was last changed.
    """

    size: int
    settled: bool
    full: bool
    ready: int
    idle: float
    unchanged: float


def wanted(now: Situation, least: int, most: int) -> int:
    """Return how many processes the pool shall have, between the least and the most."""
    size = min(max(now.size, least), most)
    if now.settled and now.full and now.ready > 0:
        return min(most, size * 2, size + now.ready)
    if min(now.idle, now.unchanged) >= IDLE_SECONDS:
        return max(least, size - 1)
    return size
