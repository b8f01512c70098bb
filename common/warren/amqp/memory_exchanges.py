"""Exchanges and bindings of the in-memory broker: names in, names out. No queue or message is known here."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from warren.amqp.seam import ChannelRefused
from warren.topology import Arguments, Binding, Exchange

KINDS = frozenset({"direct", "topic", "fanout", "headers"})

Words = tuple[str, ...]


def words(key: str) -> Words:
    """Split a routing key or pattern as RabbitMQ does: the empty key has no words at all, not an empty one."""
    return tuple(key.split(".")) if key else ()


def matches(pattern: Words, key: Words) -> bool:
    """Whether a topic pattern takes a key: `*` is exactly one word, `#` any number of them, also none."""
    at, position = 0, 0
    last_hash, resume = -1, 0
    while position < len(key):
        if at < len(pattern) and pattern[at] == "#":
            last_hash, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in {"*", key[position]}:
            at += 1
            position += 1
        elif last_hash >= 0:
            # Only the last `#` ever needs to take a word more: what stood before it has matched already.
            resume += 1
            at, position = last_hash + 1, resume
        else:
            return False
    return all(word == "#" for word in pattern[at:])


@dataclass(slots=True)
class _Declared:
    exchange: Exchange
    bindings: dict[Binding, Words] = field(default_factory=dict)

    def matching(self, key: str, headers: Collection[str]) -> Iterator[Binding]:
        split = words(key)
        for binding, pattern in self.bindings.items():
            if (
                self.exchange.kind == "fanout"
                or (self.exchange.kind == "direct" and binding.key == key)
                or (self.exchange.kind == "topic" and matches(pattern, split))
                or (self.exchange.kind == "headers" and binding.header in headers)
            ):
                yield binding


class Exchanges:
    """All exchanges of a broker and what is bound to them; the default exchange has no bindings and is left out."""

    def __init__(self) -> None:
        self._declared: dict[str, _Declared] = {}

    def __contains__(self, name: object) -> bool:
        return name == "" or name in self._declared

    def declare(self, exchange: Exchange) -> None:
        """Add an exchange; the same again is fine.

        Raises:
            ChannelRefused: 406 for another kind or other arguments, 403 for the default exchange, 503 for an
                unknown kind.
        """
        if not exchange.name:
            raise ChannelRefused(403, "ACCESS_REFUSED - operation not permitted on the default exchange")
        if exchange.kind not in KINDS:
            raise ChannelRefused(503, f"COMMAND_INVALID - unknown exchange type '{exchange.kind}'")
        known = self._declared.setdefault(exchange.name, _Declared(exchange)).exchange
        what = f"exchange '{exchange.name}' in vhost '/'"
        check_equivalent(what, {"type": exchange.kind}, {"type": known.kind})
        check_equivalent(what, {"auto_delete": exchange.auto_delete}, {"auto_delete": known.auto_delete})
        check_equivalent(what, exchange.arguments, known.arguments)

    def bind(self, binding: Binding) -> None:
        """Add a binding; the same again is fine. Whether a target queue exists is the caller's to know.

        Raises:
            ChannelRefused: 404 when an exchange of it does not exist.
        """
        source = self._find(binding.source)
        if binding.to_exchange:
            self._find(binding.target)
        source.bindings[binding] = words(binding.key)

    def unbind_queue(self, queue: str) -> None:
        """Drop every binding to a queue that is gone, and what goes with the last binding from it."""
        self._unbind(queue, to_exchange=False)

    def _unbind(self, target: str, *, to_exchange: bool) -> None:
        for name, declared in tuple(self._declared.items()):
            gone = [known for known in declared.bindings if (known.target, known.to_exchange) == (target, to_exchange)]
            for binding in gone:
                del declared.bindings[binding]
            if gone and not declared.bindings and declared.exchange.auto_delete:
                del self._declared[name]
                self._unbind(name, to_exchange=True)

    def route(self, exchange: str, key: str, headers: Collection[str]) -> list[str]:
        """Return the names of the queues that a message with these headers reaches, each once.

        Raises:
            ChannelRefused: 404 when the exchange does not exist.
        """
        queues: dict[str, None] = {}
        seen = {exchange}
        ahead = [self._find(exchange)]
        while ahead:
            declared = ahead.pop()
            found = list(declared.matching(key, headers))
            queues.update((binding.target, None) for binding in found if not binding.to_exchange)
            for name in _onward(declared.exchange, found):
                if name in self._declared and name not in seen:
                    seen.add(name)
                    ahead.append(self._declared[name])
        return list(queues)

    def _find(self, name: str) -> _Declared:
        if name not in self._declared:
            raise ChannelRefused(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'")
        return self._declared[name]


def check_equivalent(what: str, received: Arguments, current: Arguments) -> None:
    """Refuse a redeclaration with other arguments.

    Raises:
        ChannelRefused: 406, naming the first argument that differs.
    """
    for name in sorted({*received, *current}):
        if received.get(name) != current.get(name):
            raise ChannelRefused(
                406,
                f"PRECONDITION_FAILED - inequivalent arg '{name}' for {what}: "
                f"received {_shown(received.get(name))} but current is {_shown(current.get(name))}",
            )


def _shown(value: str | int | None) -> str:
    return "none" if value is None else f"the value '{value}'"


def _onward(exchange: Exchange, found: list[Binding]) -> Iterator[str]:
    """Yield the exchanges a message goes on to; the alternate one only when nothing at all matched."""
    if found:
        yield from (binding.target for binding in found if binding.to_exchange)
    elif "alternate-exchange" in exchange.arguments:
        yield str(exchange.arguments["alternate-exchange"])
