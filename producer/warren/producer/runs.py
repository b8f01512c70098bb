"""Jobs that are sent together: which, how many, and what became of each."""

from collections.abc import Iterable, Iterator, Mapping

from warren.amqp.seam import AmqpError, SomeFailed
from warren.producer.core import Outgoing

STEP = 50
"""Jobs sent together at most: the broker begins with them while the next are composed."""
AHEAD = 20
"""Runs in flight at most while many are sent, which keeps memory flat."""


class Composed:
    """Jobs as they are composed; when that fails, those before are sent first, and `check` says it then."""

    def __init__(self, outgoing: Iterable[Outgoing]) -> None:
        self._outgoing = outgoing
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Outgoing]:
        try:
            yield from self._outgoing
        except Exception as error:  # noqa: BLE001 - told by `check`
            self._error = error

    def check(self) -> None:
        """Raise what ended the composing, if anything did."""
        if self._error is not None:
            raise self._error


def together(outgoing: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Yield jobs in runs of one address, which can be sent together."""
    run: list[Outgoing] = []
    for one in outgoing:
        if run and (len(run) == STEP or one.queue != run[0].queue or one.delayed or run[0].delayed):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def failures(error: AmqpError, number: int) -> Mapping[int, AmqpError]:
    """Return the errors of those of a run that were not confirmed, by their place in it."""
    return error.errors if isinstance(error, SomeFailed) else dict.fromkeys(range(number), error)


def how_many(confirmed: int) -> str:
    """Return the note on an error that ended the sending of many."""
    return f"the first {confirmed} jobs are enqueued; of the others some may be"
