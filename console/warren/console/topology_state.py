"""What of the plan is on the broker: present, missing, or there with other arguments. Looking changes nothing.

Only what exists is declared again, to have its arguments compared: that does nothing when they are equal, and is refused
with 406 when they are not.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from warren.amqp.seam import ChannelRefused, Connection
from warren.topology import Binding, Exchange, Item, Names, Queue

_FORBIDDEN = 403

_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '.*' in vhost '.*': "
    r"received (?:the value '(?P<wanted>[^']*)' of type '[^']*'|'(?P<wanted_plain>[^']*)'|(?P<wanted_none>none)) "
    r"but current is (?:the value '(?P<held>[^']*)' of type '[^']*'|'(?P<held_plain>[^']*)'|(?P<held_none>none))"
)


class State(enum.StrEnum):
    """How an item of the plan is found."""

    PRESENT = "present"
    MISSING = "missing"
    MISMATCH = "mismatch"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One item of the plan, as the broker has it; `advice` are steps, commands among them."""

    item: Item
    state: State
    explanation: str = ""
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares plans with one broker.

    Attributes:
        connection: of a user with the right to declare; without it arguments cannot be compared.
        vhost: for the commands that are advised.
        bindings: those the broker has, where the management API tells: over AMQP they cannot be looked at.
    """

    connection: Connection
    names: Names
    vhost: str
    bindings: frozenset[tuple[str, str, str]] | None

    async def look(self, items: Iterable[Item]) -> list[Finding]:
        """Return a finding for every item of a plan."""
        return [self._binding(item) if isinstance(item, Binding) else await self._thing(item) for item in items]

    def _binding(self, item: Binding) -> Finding:
        if self.bindings is None:
            return Finding(item, State.UNKNOWN)
        there = (item.source, item.target, item.key) in self.bindings
        return Finding(item, State.PRESENT if there else State.MISSING)

    async def _thing(self, item: Exchange | Queue) -> Finding:
        if not await self.connection.exists(item):
            return Finding(item, State.MISSING)
        try:
            await self.connection.declare(item)
        except ChannelRefused as refused:
            if refused.code == _FORBIDDEN:
                return Finding(item, State.DENIED)
            return await self._mismatch(item, refused)
        return Finding(item, State.PRESENT)

    async def _mismatch(self, item: Exchange | Queue, refused: ChannelRefused) -> Finding:
        depth = await self.connection.depth(item.name) if isinstance(item, Queue) else None
        advice = self._cure(item, depth.ready if depth else 0)
        return Finding(item, State.MISMATCH, explained(refused.text), advice)

    def _cure(self, item: Exchange | Queue, ready: int) -> tuple[str, ...]:
        if isinstance(item, Exchange):
            return (
                "publishing fails while it is away, so stop producers and workers; an exchange holds no jobs",
                f"rabbitmqadmin -V {self.vhost} delete exchange name={item.name}",
                "warren topology apply",
            )
        queue = self.names.queue_of(item.name)
        apply = "warren topology apply" if queue == item.name else f"warren topology apply --queue {queue}"
        return (*self._emptied(item.name, ready), f"rabbitmqctl delete_queue -p {self.vhost} {item.name}", apply)

    def _emptied(self, name: str, ready: int) -> tuple[str, ...]:
        """What to do first, so that deleting the queue loses nothing."""
        if name == self.names.results:
            return ("it only keeps the results of the last day for `warren result`; nothing else is lost with it",)
        if name == self.names.control:
            return (
                "cancellations and pauses are forgotten with it: note first which queues `warren queues` calls paused",
            )
        if name == self.names.dead:
            return (f"first `WARREN_DECLARE=false warren dead replay --all`, or drop them: {ready:,} lie in it",)
        queue = self.names.queue_of(name)
        if queue == name:
            return (f"stop producers and wait until it is empty, which it becomes by itself: {ready:,} wait in it",)
        drain = f"WARREN_DECLARE=false warren worker MODULE --queue {queue}, until `warren queues {queue}` says 0"
        return (f"stop what enqueues to it, and have its {ready:,} jobs run: {drain}",)


def explained(text: str) -> str:
    """Return what a 406 means: which argument, what the broker has, what Warren wants."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return f"the broker says: {text}"
    held, wanted = (found[f"{side}"] or found[f"{side}_plain"] for side in ("held", "wanted"))
    return f"the broker has {_said(found['argument'], held)}, Warren wants {_said(found['argument'], wanted)}"


def _said(argument: str, value: str | None) -> str:
    return f"{argument} = {value}" if value is not None else f"no {argument}"


def title(item: Item) -> tuple[str, str]:
    """Return an item's kind and name, for a table."""
    if isinstance(item, Exchange):
        return f"{item.kind} exchange", item.name
    if isinstance(item, Queue):
        kind = str(item.arguments.get("x-queue-type", "classic"))
        return ("stream" if kind == "stream" else f"{kind} queue"), item.name
    return "binding", f"{item.source} → {item.target}"


def is_of_delays(item: Item, names: Names) -> bool:
    """Whether an item is one of the many of the delay's levels."""
    space = names.namespace
    name = item.source if isinstance(item, Binding) else item.name
    return name.startswith((f"{space}.delay.", f"{space}.copy.delay.")) and name != names.delay_out
