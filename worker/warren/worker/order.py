"""Which of several queues the next job is taken from: by weights, or strictly by their order; pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from warren.shares import Share


@dataclass(frozen=True, slots=True)
class Pick:
    """A queue, and those that it was chosen from."""

    queue: str
    among: tuple[str, ...] = ()


class Order(Protocol):
    """Says where the next job comes from."""

    rest_seconds: float
    """How long a queue that was found empty is not asked again; 0: only until something else is taken."""

    def pick(self, ready: Collection[str], asked: Collection[str]) -> Pick | None:
        """Choose a queue, or None when there is nothing to ask now.

        Args:
            ready: queues that may have jobs.
            asked: others, of which it is not known, but they are being asked.
        """
        ...

    def undo(self, pick: Pick) -> None:
        """Take back a choice: the queue had no job."""
        ...


class Weighted:
    """Smooth weighted round robin: of any sum of the weights in a row, each queue has its weight, spread evenly.

    This is nginx's algorithm (ngx_http_upstream_get_peer in src/http/ngx_http_upstream_round_robin.c): a choice gives every
    candidate its weight in credit, takes the one that has most, and takes the sum of all weights from that one. A queue without
    jobs is no candidate: its credit stands still, so it saves up nothing, and the others share its turns by their weights.
    """

    rest_seconds = 0.02

    def __init__(self, shares: Iterable[Share]) -> None:
        self._weights = {share.queue: share.weight for share in shares}
        self._credit = dict.fromkeys(self._weights, 0)

    def pick(self, ready: Collection[str], asked: Collection[str]) -> Pick | None:  # noqa: ARG002 - what has jobs now goes on
        among = tuple(queue for queue in self._weights if queue in ready)
        if not among:
            return None
        self._give(among, 1)
        chosen = max(among, key=self._credit.__getitem__)
        self._credit[chosen] -= self._sum(among)
        return Pick(chosen, among)

    def undo(self, pick: Pick) -> None:
        self._give(pick.among, -1)
        self._credit[pick.queue] += self._sum(pick.among)

    def _give(self, queues: Iterable[str], times: int) -> None:
        for queue in queues:
            self._credit[queue] += times * self._weights[queue]

    def _sum(self, queues: Iterable[str]) -> int:
        return sum(map(self._weights.__getitem__, queues))


class Strict:
    """The first queue that has jobs, in the order given: before any other is taken, it must have said that it has none."""

    rest_seconds = 0.0

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = queues

    def pick(self, ready: Collection[str], asked: Collection[str]) -> Pick | None:
        for queue in self._queues:
            if queue in asked:
                return None
            if queue in ready:
                return Pick(queue)
        return None

    def undo(self, pick: Pick) -> None:
        """Nothing is kept of a choice."""
