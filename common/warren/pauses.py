"""Which queues are paused: pure."""

from collections.abc import Iterator

from warren.control import PauseQueue, ResumeQueue

Said = PauseQueue | ResumeQueue


class Pauses:
    """What was said of queues: of each, that with the latest `at` holds, whatever the order in which it was heard."""

    def __init__(self) -> None:
        self._last: dict[str, Said] = {}

    def __contains__(self, queue: object) -> bool:
        return isinstance(queue, str) and isinstance(self._last.get(queue), PauseQueue)

    def __iter__(self) -> Iterator[PauseQueue]:
        return (said for said in self._last.values() if isinstance(said, PauseQueue))

    def hear(self, said: Said) -> bool:
        """Take note of what was said; whether something has changed by it."""
        before, was = self._last.get(said.queue), said.queue in self
        if before is None or _newness(before) < _newness(said):
            self._last[said.queue] = said
        return was != (said.queue in self)

    def after(self, queue: str, now: float) -> float:
        """Return the moment at which something new is said of a queue: whoever said the last thing may have had a clock that is fast."""
        before = self._last.get(queue)
        return now if before is None else max(now, before.at + 0.001)


def _newness(said: Said) -> tuple[float, bool]:
    return said.at, isinstance(said, PauseQueue)
