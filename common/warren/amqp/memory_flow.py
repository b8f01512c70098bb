"""How messages move through the in-memory broker: routing, waiting, expiring, dead-lettering, handing out.

Every queue that something happened to is noted in `_changed` and worked off by `run`, one after the other: a message
that falls through thirty queues is thirty turns of a loop, not thirty nested calls.
"""

import math
from collections.abc import Iterable

from warren.amqp.memory_dead import dead_message
from warren.amqp.memory_exchanges import Exchanges
from warren.amqp.memory_queues import Consumer, Stored, Stream, WorkQueue
from warren.amqp.seam import Message, Nacked, Returned
from warren.clock import Clock

AnyQueue = WorkQueue | Stream


class Flow:
    """Exchanges, queues and the messages in them. Knows nothing of connections."""

    def __init__(self, clock: Clock) -> None:
        self.exchanges = Exchanges()
        self.queues: dict[str, AnyQueue] = {}
        self._clock = clock
        self._changed: dict[AnyQueue, None] = {}
        self._due: dict[AnyQueue, float] = {}

    @property
    def next_due(self) -> float:
        """When `advance` has something to do; infinity when nothing waits."""
        return min(self._due.values(), default=math.inf)

    def publish(self, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        """Put a message into every queue that its key reaches.

        Raises:
            ChannelRefused: 404, there is no such exchange.
            Returned: no queue took it, and it is mandatory.
            Nacked: a queue is full; the others have it.
        """
        targets = self._route(message, exchange, routing_key)
        if mandatory and not targets:
            raise Returned("312 NO_ROUTE")
        full = [queue for queue in targets if queue.rejects]
        self._put(message, exchange, routing_key, (queue for queue in targets if queue not in full))
        self.run()
        if full:
            raise Nacked(f"queue {full[0].declared.name!r} is full")

    def remove(self, queue: AnyQueue) -> None:
        """Delete a queue with all that is in it."""
        name = queue.declared.name
        del self.queues[name]
        self.exchanges.unbind_queue(name)
        self._changed.pop(queue, None)
        self._due.pop(queue, None)

    def take_back(self, queue: AnyQueue, stored: Stored, *, charged: bool) -> None:
        """Return a delivered message to its queue; to the dead-letter exchange when its delivery limit is used up."""
        if self.queues.get(queue.declared.name) is not queue:
            return
        if not queue.put_back(stored, charged=charged):
            self._dead_letter(queue, stored, "delivery_limit")
        self.changed(queue)

    def hand_out(self, queue: WorkQueue, consumer: Consumer) -> None:
        """Give a queue's first message, if it has one, to somebody who asked for it."""
        self.changed(queue)
        self.run()  # what has expired is not handed out
        if queue.ready:
            queue.deliver_to(consumer)

    def changed(self, queue: AnyQueue) -> None:
        """Note that a queue may have something to hand out or to expire."""
        self._changed[queue] = None

    def advance(self) -> None:
        """Expire what is due by now."""
        now = self._clock()
        for queue in [queue for queue, due in self._due.items() if due <= now]:
            self.changed(queue)
        self.run()

    def run(self) -> None:
        """Work until no queue has anything left to do at this moment."""
        while self._changed:
            queue = next(iter(self._changed))
            del self._changed[queue]
            if self.queues.get(queue.declared.name) is queue:
                self._serve(queue)

    def _serve(self, queue: AnyQueue) -> None:
        more = True
        while more:
            # Each message handed out may bare an expired one.
            for stored in queue.expire(self._clock()):
                self._dead_letter(queue, stored, "expired")
            more = queue.deliver_one()
        if queue.next_expiry < math.inf:
            self._due[queue] = queue.next_expiry
        else:
            self._due.pop(queue, None)

    def _dead_letter(self, queue: AnyQueue, stored: Stored, reason: str) -> None:
        """Route a dead message on, or lose it where it leads nowhere (RabbitMQ's at-least-once would keep trying)."""
        arguments = queue.declared.arguments
        exchange = str(arguments.get("x-dead-letter-exchange", ""))
        routing_key = str(arguments.get("x-dead-letter-routing-key", stored.routing_key))
        if "x-dead-letter-exchange" in arguments and exchange in self.exchanges:
            message = dead_message(stored, queue.declared, reason, self._clock())
            self._put(message, exchange, routing_key, self._route(message, exchange, routing_key))

    def _put(self, message: Message, exchange: str, routing_key: str, targets: Iterable[AnyQueue]) -> None:
        now = self._clock()
        for queue in targets:
            queue.put(Stored(message, exchange, routing_key), now)
            self.changed(queue)

    def _route(self, message: Message, exchange: str, routing_key: str) -> list[AnyQueue]:
        names = self.exchanges.route(exchange, routing_key, message.headers) if exchange else [routing_key]
        return [self.queues[name] for name in names if name in self.queues]
