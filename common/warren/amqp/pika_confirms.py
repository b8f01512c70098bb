"""The publishes of a channel that are not answered yet: which delivery tag belongs to whom.

Tags are added by whoever publishes; answers are taken by one thread at a time, the loop's or the one that reads for it.
"""

import asyncio
from collections.abc import Sequence

from warren.amqp import pika_parsing
from warren.amqp.seam import (
    AmqpError,
    ChannelRefused,
    Confirm,
    ConnectionLost,
    Late,
    Letter,
    Nacked,
    Returned,
    SomeFailed,
)

_Address = tuple[str, str]


class Sheaf:
    """Messages that were published together: their tags follow each other, and somebody is told when all are answered."""

    __slots__ = ("address", "confirm", "errors", "first", "ids", "left")

    def __init__(self, confirm: Confirm, letters: Sequence[Letter], address: _Address) -> None:
        self.confirm = confirm
        self.ids = [letter.message_id for letter in letters]
        self.address = address
        self.first = 0
        self.left = len(letters)
        self.errors: dict[int, AmqpError] | None = None

    def fail(self, tag: int, error: AmqpError) -> None:
        """Note the fate of one of them; `left` is the caller's to count down."""
        self.errors = self.errors or {}
        self.errors[tag - self.first] = error

    def tell(self) -> None:
        """Tell whoever waits, now that nothing is left."""
        if self.confirm.done():
            return
        if self.errors is None:
            self.confirm.set_result(None)
        else:
            self.confirm.set_exception(self.errors[0] if len(self.ids) == 1 else SomeFailed(self.errors))


class Unanswered:
    """Sheaves by their tags."""

    def __init__(self) -> None:
        self.for_loop = 0
        """How many sheaves are waited for on the loop: their futures may be told nowhere else."""
        self._of: dict[int, Sheaf] = {}
        self._untold: dict[Confirm, Sheaf] = {}
        """Of some, no tag may be left: a thread can be interrupted when it has taken the last answer."""
        self._last = 0
        self._oldest = 1  # no tag below it is unanswered
        self._returned: dict[int, str] = {}

    def add(self, sheaf: Sheaf) -> None:
        """Number what is about to be sent."""
        sheaf.first = self._last + 1
        self._last += sheaf.left
        if isinstance(sheaf.confirm, asyncio.Future):
            self.for_loop += 1
        self._of[sheaf.first] = sheaf
        if sheaf.left > 1:
            self._of.update(dict.fromkeys(range(sheaf.first + 1, self._last + 1), sheaf))
        self._untold[sheaf.confirm] = sheaf

    def answer(self, data: bytes, at: int, *, acked: bool) -> None:
        """Take an ack or a nack."""
        tag, multiple = pika_parsing.confirm(data, at)
        for each in range(self._oldest, tag + 1) if multiple else (tag,):
            sheaf = self._of.get(each)
            if sheaf is None:
                continue
            # Its fate is noted while it still counts as unanswered: an interrupt in between must not make it a good one.
            if self._returned and each in self._returned:
                sheaf.fail(each, Returned(self._returned.pop(each)))
            elif not acked:
                sheaf.fail(each, Nacked("the broker refused the message"))
            if self._of.pop(each, None) is not None:
                self._count(sheaf)
        if multiple:
            self._oldest = tag + 1
        elif tag == self._oldest:
            self._oldest += 1

    def returned(self, message_id: str | None, address: _Address, why: str) -> None:
        """Note that a message came back; the broker says so just before it confirms it, and does not say which tag that was."""
        for tag, sheaf in list(self._of.items()):  # other threads add to it
            if sheaf.ids[tag - sheaf.first] == message_id and sheaf.address == address and tag not in self._returned:
                self._returned[tag] = why
                return

    def fail(self, error: AmqpError) -> None:
        """Tell everybody that there will be no more answers."""
        untold = list(
            self._untold.values()
        )  # before their tags: one that a thread adds meanwhile is that thread's to tell
        unanswered, self._of = self._of, {}
        if len(unanswered) > 1 and isinstance(error, ChannelRefused):
            # The refusal was for one of them, and nobody says which.
            error = ConnectionLost(f"the channel was closed over a publish, perhaps another one: {error}")
        for tag, sheaf in list(unanswered.items()):
            sheaf.fail(tag, error)
        for sheaf in untold:
            self._tell(sheaf)

    def fail_one(self, sheaf: Sheaf, error: AmqpError) -> None:
        """Tell one that there will be no more answers."""
        for tag in range(sheaf.first, sheaf.first + len(sheaf.ids)):
            if self._of.pop(tag, None) is not None:
                sheaf.fail(tag, error)
        self._tell(sheaf)

    def give_up(self, confirm: Confirm) -> AmqpError:
        """Return what is known of what `confirm` waits for; in any thread."""
        sheaf = self._untold.get(confirm)
        if sheaf is None:
            return Late()
        left = [place for place in range(len(sheaf.ids)) if sheaf.first + place in self._of]
        return SomeFailed({**(sheaf.errors or {}), **dict.fromkeys(left, Late())})

    def _count(self, sheaf: Sheaf) -> None:
        sheaf.left -= 1
        if sheaf.left == 0:
            self._tell(sheaf)

    def _tell(self, sheaf: Sheaf) -> None:
        if self._untold.pop(sheaf.confirm, None) is not None:
            if isinstance(sheaf.confirm, asyncio.Future):
                self.for_loop -= 1
            sheaf.tell()
