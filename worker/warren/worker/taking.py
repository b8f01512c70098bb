"""What a worker's ways of taking jobs have in common: lanes on one queue (`lanes`), or asking several (`asking`)."""

from collections.abc import Callable, Iterable
from typing import Protocol

from warren.worker.session import Session


class Taking(Protocol):
    """Takes as many jobs as can be run, and no more."""

    async def open(self, session: Session) -> None:
        """Take jobs by a new session."""
        ...

    def balance(self) -> None:
        """Take what can be run now: something has ended, or what may be taken has changed."""
        ...

    def close_all_but(self, kept: Iterable[int], then: Callable[[], None]) -> None:
        """Close consumers, by their lanes, and do this when nothing comes by them any more."""
        ...

    def lost(self, deleted: str | None) -> None:
        """Hear that the session has ended, before anything is done about it; perhaps because a queue was deleted."""
        ...

    async def drain(self) -> None:
        """Take nothing more; what comes all the same goes back."""
        ...
