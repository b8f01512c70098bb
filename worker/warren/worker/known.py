"""What a worker knows of its queues from their answers: which may have jobs, which have none for now; pure."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Queue:
    """One queue.

    Attributes:
        doubted: that it has jobs; then one question at a time is enough.
        asked: questions on their way.
        rests_until: not asked before, in seconds of the caller's clock.
    """

    doubted: bool = True
    asked: int = 0
    rests_until: float = 0.0


class Known:
    """What is known of the queues of one session.

    Args:
        queues: their names.
        rest_seconds: how long one that has none is not asked again; 0 for until something else is taken.
    """

    def __init__(self, queues: Iterable[str], rest_seconds: float) -> None:
        self.asked = 0
        """Questions on their way, to all."""
        self._queues = {queue: _Queue() for queue in queues}
        self._rest_seconds = rest_seconds

    def asking(self, queue: str) -> None:
        """Take note of a question."""
        self.asked += 1
        self._queues[queue].asked += 1

    def answered(self, queue: str, now: float, *, has_jobs: bool) -> None:
        """Take note of its answer."""
        self.asked -= 1
        known = self._queues[queue]
        known.asked -= 1
        known.doubted = not has_jobs
        if has_jobs:
            known.rests_until = 0.0
            self.took()
        else:
            known.rests_until = now + self._rest_seconds if self._rest_seconds else math.inf

    def may_have_jobs(self, queue: str) -> None:
        """Forget that a queue had none."""
        self._queues[queue].rests_until = 0.0

    def took(self) -> None:
        """Take note that a job was taken, or has ended: where none may be taken before others, these are asked again."""
        if not self._rest_seconds:
            for known in self._queues.values():
                known.rests_until = 0.0

    def candidates(
        self, now: float, *, left_out: Callable[[str], bool], brought: Callable[[str], bool]
    ) -> tuple[list[str], list[str]]:
        """Return the queues that may have jobs, and those that are being asked whether they have.

        Args:
            now: by the caller's clock.
            left_out: whether a queue is not to be asked.
            brought: whether a job of a queue is here already.
        """
        ready, asked = list[str](), list[str]()
        for queue, known in self._queues.items():
            if brought(queue):
                ready.append(queue)
            elif left_out(queue) or now < known.rests_until:
                continue
            elif known.doubted and known.asked:
                asked.append(queue)
            else:
                ready.append(queue)
        return ready, asked
