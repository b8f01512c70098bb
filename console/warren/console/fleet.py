"""The workers of a namespace, put together from what they said of themselves: pure.

How long ago a worker said something is judged by our clock against its own, so the clocks should agree to a few seconds.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from warren.status import SILENT_INTERVALS, WorkerState, WorkerStatus

_RATE_SECONDS = 30.0

Key = tuple[str, str, int, float]


@dataclass(frozen=True, slots=True)
class Member:
    """A worker at a moment.

    Attributes:
        status: what it said last.
        age: seconds since then.
        rate: attempts that ended in a second, over its last statuses; None while there is only one.
    """

    status: WorkerStatus
    age: float
    rate: float | None

    @property
    def silent(self) -> bool:
        """Whether it should have said something since: it crashed, or it cannot reach the broker."""
        return self.status.state is not WorkerState.STOPPED and self.age > SILENT_INTERVALS * self.status.interval

    @property
    def works(self) -> bool:
        """Whether what it said last still holds, as far as one can know."""
        return self.status.state is not WorkerState.STOPPED and not self.silent


@dataclass(slots=True)
class _Told:
    """What one worker said: the last, and how many attempts had ended when."""

    last: WorkerStatus
    ended: deque[tuple[float, int]] = field(default_factory=deque)

    def hear(self, status: WorkerStatus) -> None:
        if status.at >= self.last.at:
            self.last = status
            self.ended.append((status.at, status.count()))
            while status.at - self.ended[0][0] > _RATE_SECONDS:
                self.ended.popleft()

    @property
    def rate(self) -> float | None:
        (first_at, first), (last_at, last) = self.ended[0], self.ended[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None


class Fleet:
    """Hears statuses and knows the workers.

    Args:
        keep: seconds after its last word for which a worker is still shown.
    """

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._told: dict[Key, _Told] = {}

    def hear(self, status: WorkerStatus) -> None:
        """Take a status in, in whatever order they come."""
        key = (status.name, status.host, status.pid, status.started_at)
        if key not in self._told:
            self._told[key] = _Told(status)
        self._told[key].hear(status)

    def members(self, now: float) -> list[Member]:
        """Return the workers by name; of those with one name that are gone, none that has a successor.

        Args:
            now: seconds since the epoch.
        """
        self._told = {key: told for key, told in self._told.items() if now - told.last.at <= self._keep}
        found = [Member(told.last, max(0.0, now - told.last.at), told.rate) for told in self._told.values()]
        found.sort(key=lambda member: (member.status.name, member.status.started_at))
        return list(_without_predecessors(found))


def _without_predecessors(members: list[Member]) -> Iterator[Member]:
    for place, member in enumerate(members):
        successor = members[place + 1] if place + 1 < len(members) else None
        if member.works or successor is None or successor.status.name != member.status.name:
            yield member
