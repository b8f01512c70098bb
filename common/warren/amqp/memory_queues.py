"""Queues and streams of the in-memory broker: the order of messages, who gets the next one, what comes back.

A queue hands out one message at a time (`deliver_one`); `memory_flow` decides when, and expires messages in between.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from warren.amqp.seam import OFFSET, Delivery, Message, StreamAt, StreamFrom, StreamOffset, StreamStart
from warren.topology import Queue

UNSET_PRIORITY = 4
HIGHEST_PRIORITY = 31
_RETURNED = HIGHEST_PRIORITY + 1
DEFAULT_DELIVERY_LIMIT = 20


@dataclass(slots=True, eq=False)
class Stored:
    """A message in one queue: its own count of failed deliveries, its own time to go."""

    message: Message
    exchange: str
    routing_key: str
    expires_at: float = math.inf
    failures: int = 0
    redelivered: bool = False


@dataclass(slots=True, eq=False)
class Consumer:
    """A consumer and what it holds; `hand_over` must only pass the delivery on: the broker is in mid-work."""

    queue: "WorkQueue | Stream"
    tag: str
    hand_over: Callable[[Delivery], None]
    prefetch: int
    no_ack: bool
    position: int = 0  # streams: the next offset to read
    unsettled: dict[int, Stored] = field(default_factory=dict)
    delivery_tags: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def has_room(self) -> bool:
        return self.no_ack or not self.prefetch or len(self.unsettled) < self.prefetch

    @property
    def leaves_nothing(self) -> bool:
        """Whether settling says nothing to the broker once the consumer is cancelled."""
        return self.no_ack or isinstance(self.queue, Stream)

    def take(self, stored: Stored, **headers: object) -> None:
        message = stored.message
        if headers:
            message = replace(message, headers={**message.headers, **headers})
        tag = next(self.delivery_tags)
        if not self.no_ack:
            self.unsettled[tag] = stored
        name = self.queue.declared.name
        self.hand_over(
            Delivery(message, name, stored.exchange, stored.routing_key, stored.redelivered, tag, channel=self)
        )


class Consumers:
    """The consumers of a queue, served in turn."""

    def __init__(self) -> None:
        self._turn: deque[Consumer] = deque()

    def __len__(self) -> int:
        return len(self._turn)

    def __iter__(self) -> Iterator[Consumer]:
        return iter(tuple(self._turn))

    def add(self, consumer: Consumer) -> None:
        self._turn.append(consumer)

    def discard(self, consumer: Consumer) -> None:
        if consumer in self._turn:
            self._turn.remove(consumer)

    def next(self, wants: Callable[[Consumer], bool]) -> Consumer | None:
        """Return the next in turn who has room and wants something, or None."""
        for _ in range(len(self._turn)):
            consumer = self._turn[0]
            self._turn.rotate(-1)
            if consumer.has_room and wants(consumer):
                return consumer
        return None


class WorkQueue:
    """A quorum queue (strict priorities, delivery limit), or a classic one (neither)."""

    def __init__(self, declared: Queue, owner: object | None) -> None:
        self.declared = declared
        self.owner = owner
        self.consumers = Consumers()
        self._lanes: dict[int, deque[Stored]] = {}
        self._quorum = declared.arguments.get("x-queue-type") == "quorum"
        limit = int(declared.arguments.get("x-delivery-limit", DEFAULT_DELIVERY_LIMIT))
        self._delivery_limit = limit if self._quorum and limit >= 0 else math.inf

    @property
    def ready(self) -> int:
        return sum(map(len, self._lanes.values()))

    @property
    def next_expiry(self) -> float:
        """When the first message at the head of a lane is due; behind a head nothing expires, as on RabbitMQ."""
        return min((lane[0].expires_at for lane in self._lanes.values()), default=math.inf)

    @property
    def rejects(self) -> bool:
        """Whether it is full and says so to publishers."""
        arguments = self.declared.arguments
        full = self.ready >= int(arguments["x-max-length"]) if "x-max-length" in arguments else False
        return full and arguments.get("x-overflow") == "reject-publish"

    def put(self, stored: Stored, now: float) -> None:
        """Take a new message."""
        limits = (self.declared.arguments.get("x-message-ttl"), stored.message.expiration)
        ttl_ms = min((int(limit) for limit in limits if limit is not None), default=math.inf)
        stored.expires_at = now + ttl_ms / 1000
        priority = UNSET_PRIORITY if stored.message.priority is None else stored.message.priority
        self._append(min(priority, HIGHEST_PRIORITY) if self._quorum else 0, stored)

    def put_back(self, stored: Stored, *, charged: bool) -> bool:
        """Take a delivered message back, before all new ones; False when its delivery limit is used up."""
        stored.redelivered = True
        stored.failures += charged
        if stored.failures > self._delivery_limit:
            return False
        self._append(_RETURNED, stored)
        return True

    def expire(self, now: float) -> Iterator[Stored]:
        """Remove and yield the messages whose time is over."""
        for lane in tuple(self._lanes):
            while lane in self._lanes and self._lanes[lane][0].expires_at <= now:
                yield self._pop(lane)

    def deliver_one(self) -> bool:
        """Hand the first message to the next consumer with room; False when there is none of either."""
        if not self._lanes:
            return False
        consumer = self.consumers.next(lambda _: True)
        if consumer is None:
            return False
        self.deliver_to(consumer)
        return True

    def deliver_to(self, consumer: Consumer) -> None:
        """Hand the first message, which there must be, to this one."""
        stored = self._pop(max(self._lanes))
        if self._quorum and stored.failures:
            consumer.take(stored, **{"x-delivery-count": stored.failures})
        else:
            consumer.take(stored)

    def _append(self, lane: int, stored: Stored) -> None:
        self._lanes.setdefault(lane, deque()).append(stored)

    def _pop(self, lane: int) -> Stored:
        stored = self._lanes[lane].popleft()
        if not self._lanes[lane]:
            del self._lanes[lane]
        return stored


class Stream:
    """An append-only log: every consumer reads all of it from its own position; settling only gives room for more."""

    ready = 0  # RabbitMQ counts no messages of a stream either
    rejects = False
    next_expiry = math.inf

    def __init__(self, declared: Queue) -> None:
        self.declared = declared
        self.owner: object | None = None
        self.consumers = Consumers()
        self._log: list[tuple[float, Stored]] = []

    def put(self, stored: Stored, now: float) -> None:
        self._log.append((now, stored))

    def put_back(self, stored: Stored, *, charged: bool) -> bool:  # noqa: ARG002 - a queue's signature
        return True

    def expire(self, now: float) -> Iterator[Stored]:  # noqa: ARG002 - a queue's signature
        return iter(())

    def deliver_one(self) -> bool:
        consumer = self.consumers.next(lambda one: one.position < len(self._log))
        if consumer is None:
            return False
        offset, consumer.position = consumer.position, consumer.position + 1
        consumer.take(self._log[offset][1], **{OFFSET: offset})
        return True

    def position_of(self, offset: StreamOffset | None) -> int:
        """Return where a consumer starts to read; without an offset at the end, as on RabbitMQ."""
        if isinstance(offset, StreamFrom):
            return next((at for at, (time, _) in enumerate(self._log) if time >= offset.timestamp), len(self._log))
        if isinstance(offset, StreamAt):
            return offset.offset
        return 0 if offset is StreamStart.FIRST else len(self._log)
