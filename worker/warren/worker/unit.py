"""A unit of a chunk's items inside a pool process: run one after another, the quick ones told of together."""

import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from warren.errors import InvalidArguments
from warren.job import Body
from warren.outcome import Done, Outcome
from warren.signature import Signature
from warren.worker.attempt import Attempt
from warren.worker.chunk import member
from warren.worker.frames import Ended, Part, Unit
from warren.worker.journal import Journal

UNIT_SECONDS = 0.02
"""So long may a unit run: a job that came by another lane never waits for more, or for one item that takes longer."""
_TELL_SECONDS = 0.005
_PLAIN: tuple[Any, ...] = (int, float, str, bool, types.NoneType, Any, ...)
_OF_PLAIN: tuple[Any, ...] = (list, dict, tuple, typing.Union, types.UnionType)
_IMMUTABLE = (int, float, str, types.NoneType)


def run_unit(attempt: Attempt, unit: Unit, body: Body, journal: Journal, send: Callable[[Ended], None]) -> None:
    """Run items until their time is over; what is left then is the parent's to give out again."""
    began = time.monotonic()
    # The parent counts an item's time to its kill from the end of the one before: it must hear of that at once.
    patience = _TELL_SECONDS if attempt.options.kill_after is None else 0.0
    teller = _Teller(unit, journal, send, began, patience)
    for number, outcome in enumerate(_outcomes(attempt, unit.items, body), 1):
        now = time.monotonic()
        last = number == len(unit.places) or now - began > UNIT_SECONDS
        teller.tell(outcome, now, last=last)
        if last:
            return


class _Teller:
    """Tells the parent of a unit's items; what it keeps for a while is in the journal meanwhile."""

    def __init__(
        self, unit: Unit, journal: Journal, send: Callable[[Ended], None], began: float, patience: float
    ) -> None:
        self._unit, self._journal, self._send, self._patience = unit, journal, send, patience
        self._told, self._since = 0, began
        journal.begin(unit.number)

    def tell(self, outcome: Outcome, now: float, *, last: bool) -> None:
        """Tell of the next item, at once or soon."""
        if isinstance(outcome, Done):
            written = member(self._unit.places[self._told + self._journal.count], outcome.result)
            if self._write_down(written, now):
                if last or now - self._since >= self._patience:
                    self._tell_written(now, last=last)
                return
            outcome = Done(written)
        if self._journal.count:
            self._tell_written(now)
        self._send(Ended(outcome, now - self._since, Part(self._unit.number, self._told, 1), last))
        self._go_on(1, now)

    def _write_down(self, written: bytes, now: float) -> bool:
        if self._journal.add(written):
            return True
        if self._journal.count:
            self._tell_written(now)
        return self._journal.add(written)

    def _tell_written(self, now: float, *, last: bool = False) -> None:
        self._send(self._journal.untold(now - self._since, last=last))
        self._go_on(self._journal.count, now)

    def _go_on(self, count: int, now: float) -> None:
        self._told, self._since = self._told + count, now
        self._journal.begin(self._unit.number, self._told)


def _outcomes(attempt: Attempt, items: bytes, body: Body) -> Iterator[Outcome]:
    """Run the task with each item in turn, when its outcome is asked for; `body` has the arguments that come after the item."""
    raws = _RAWS.decode(items)
    shared = _shared(attempt, raws[0], body)
    values = None if shared is None else _at_once(attempt.task.signature, items)
    if shared is None or values is None:
        for raw in raws:
            yield attempt.run_with([raw, *body.args], body.kwargs)
    else:
        for value in values:
            yield attempt.call((value,), shared)


def _shared(attempt: Attempt, first: msgspec.Raw, body: Body) -> Mapping[str, Any] | None:
    """The keyword arguments, if all items can be given the same ones: what a task can change, each must have for itself."""
    if body.args:
        return None
    try:
        _, kwargs = attempt.task.signature.load([first], body.kwargs)
    except InvalidArguments:
        return None
    return kwargs if all(isinstance(value, _IMMUTABLE) for value in kwargs.values()) else None


def _at_once(signature: Signature, items: bytes) -> list[Any] | None:
    """The items, if no code of the user's has part in rebuilding them: what that does is charged to its own item."""
    kind = signature.types.get(next(iter(signature.parameters.parameters)), Any)
    if not _is_plain(kind):
        return None
    try:
        values: list[Any] = msgspec.json.decode(items, type=types.GenericAlias(list, (kind,)))
    except (ValueError, RecursionError):
        return None  # one by one it shows which of them is wrong
    return values


def _is_plain(kind: Any) -> bool:
    if typing.get_origin(kind) in _OF_PLAIN:
        return all(map(_is_plain, typing.get_args(kind)))
    return any(kind is plain for plain in _PLAIN)


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
