"""How far the store is behind what happens: pure, by the moments at which messages say that they were published."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Lag:
    """Behind from the moment a batch was taken until it is written, and as long as more waits."""

    _until: float = 0.0
    """When the newest message was published that is recorded; what waited is younger."""
    _is_behind: bool = False

    def taken(self, published: Iterable[float | None], now: float) -> None:
        """Know that a batch is about to be written; moments are seconds since the epoch."""
        if not self._is_behind and (moments := _believed(published, now)):
            self._until = max(self._until, min(moments))  # nothing happened in between
        self._is_behind = True

    def written(self, published: Iterable[float | None], now: float, *, more: bool) -> None:
        """Know that it is written, and whether more waits."""
        self._until = max(_believed(published, now), default=self._until)
        self._is_behind = more

    def seconds(self, now: float) -> float:
        """Return how long ago what was recorded last happened; 0 when nothing waits."""
        return max(0.0, now - self._until) if self._is_behind and self._until else 0.0


def _believed(published: Iterable[float | None], now: float) -> list[float]:
    """Anybody dates messages, and some in milliseconds; nothing was published later than now."""
    return [min(moment, now) for moment in published if moment]
