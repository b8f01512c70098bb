"""The in-memory broker as its clients see it: sessions, and what each may ask. Pure: no thread, no event loop.

It behaves like RabbitMQ 4.3 in all that Warren uses. Not imitated: stream retention, queue expiry, drop-head overflow,
permissions, and that at-least-once dead-lettering keeps what it cannot route.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from warren.amqp.memory_exchanges import check_equivalent
from warren.amqp.memory_flow import AnyQueue, Flow
from warren.amqp.memory_queues import Consumer, Stream, WorkQueue
from warren.amqp.seam import (
    ChannelRefused,
    ConnectionLost,
    Delivery,
    Depth,
    Message,
    Settle,
    StreamOffset,
    cancelled,
    missing,
)
from warren.clock import Clock
from warren.topology import Binding, Exchange, Queue

_NOT_FOUND = 404
QUEUE_TYPES = frozenset({"classic", "quorum", "stream"})


@dataclass(slots=True, eq=False)
class Session:
    """One client's connection; `on_end` is told once why it ended, and must only pass that on."""

    on_end: Callable[[str], None]
    ended: str | None = None
    consumers: dict[Consumer, None] = field(default_factory=dict)
    asking: dict[AnyQueue, Consumer] = field(default_factory=dict)
    """Who holds what was asked for singly; among the consumers, though no queue serves it."""


class Broker:
    """Every method leaves the broker at rest: whatever can be delivered by then has been, and what is due is gone."""

    def __init__(self, clock: Clock) -> None:
        self.flow = Flow(clock)
        self._sessions: dict[Session, None] = {}
        self._tags = itertools.count(1)

    def open(self, on_end: Callable[[str], None]) -> Session:
        session = Session(on_end)
        self._sessions[session] = None
        return session

    def end(self, session: Session, reason: str) -> None:
        """End a session: what it had not settled goes back, charged; its exclusive queues are deleted."""
        if session.ended is not None:
            return
        session.ended = reason
        del self._sessions[session]
        for consumer in session.consumers:
            consumer.queue.consumers.discard(consumer)
        for consumer in session.consumers:
            for stored in consumer.unsettled.values():
                self.flow.take_back(consumer.queue, stored, charged=True)
        for queue in [queue for queue in self.flow.queues.values() if queue.owner is session]:
            self.flow.remove(queue)
        session.on_end(reason)
        self.flow.run()

    def end_all(self, reason: str) -> None:
        """End every session, as a restart of the broker does."""
        for session in tuple(self._sessions):
            # One by one would hand the messages of the first to the next.
            for consumer in session.consumers:
                consumer.queue.consumers.discard(consumer)
        for session in tuple(self._sessions):
            self.end(session, reason)

    def delete_queue(self, name: str) -> None:
        """Delete a queue under its consumers; each of their sessions ends, as the engines for RabbitMQ see it."""
        queue = self.flow.queues[name]
        consumers = tuple(queue.consumers)
        self.flow.remove(queue)
        for session in [one for one in self._sessions if any(consumer in one.consumers for consumer in consumers)]:
            self.end(session, cancelled(name))

    def publish(self, session: Session, message: Message, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        """Publish; returning is the confirm.

        Raises:
            ConnectionLost, ChannelRefused, Returned, Nacked: see the seam.
        """
        with _ending_when_refused(self, session):
            self.flow.publish(message, exchange, routing_key, mandatory=mandatory)

    def declare(self, session: Session, item: Exchange | Queue | Binding) -> None:
        """Declare; a refusal closes a channel that nothing else uses, so the session goes on.

        Raises:
            ConnectionLost, ChannelRefused: see the seam.
        """
        _check_open(session)
        if isinstance(item, Exchange):
            self.flow.exchanges.declare(item)
        elif isinstance(item, Queue):
            self._declare_queue(session, item)
        else:
            if not item.to_exchange:
                self._find(session, item.target)
            self.flow.exchanges.bind(item)

    def consume(
        self,
        session: Session,
        queue_name: str,
        hand_over: Callable[[Delivery], None],
        *,
        prefetch: int,
        no_ack: bool,
        offset: StreamOffset | None,
    ) -> Consumer:
        """Start a consumer.

        Raises:
            ConnectionLost, ChannelRefused: see the seam.
        """
        _check_open(session)
        queue = self._find(session, queue_name)
        consumer = Consumer(queue, f"memory-{next(self._tags)}", hand_over, prefetch, no_ack)
        if isinstance(queue, Stream):
            _check_stream_consumer(queue_name, consumer)
            consumer.position = queue.position_of(offset)
        session.consumers[consumer] = None
        queue.consumers.add(consumer)
        self.flow.changed(queue)
        self.flow.run()
        return consumer

    def get(self, session: Session, queue_name: str) -> Delivery | None:
        """Hand out a queue's next message, or None when none is ready.

        Raises:
            ConnectionLost, ChannelRefused: see the seam.
        """
        _check_open(session)
        try:
            queue = self._find(session, queue_name)
        except ChannelRefused as refused:
            self.end(session, missing(queue_name) if refused.code == _NOT_FOUND else str(refused))
            raise
        if isinstance(queue, Stream):
            error = ChannelRefused(540, f"NOT_IMPLEMENTED - basic.get not supported by stream queue '{queue_name}'")
            self.end(session, str(error))
            raise error
        got: list[Delivery] = []
        holder = session.asking.get(queue)
        if holder is None:
            holder = session.asking[queue] = Consumer(queue, "", got.append, 0, no_ack=False)
            session.consumers[holder] = None
        holder.hand_over = got.append
        self.flow.hand_out(queue, holder)
        return got[0] if got else None

    def cancel(self, session: Session, consumer: Consumer) -> None:
        """Give a consumer nothing more; what it holds it may still settle."""
        consumer.queue.consumers.discard(consumer)
        if consumer.leaves_nothing:
            session.consumers.pop(consumer, None)

    def settle(self, session: Session, delivery: Delivery, how: Settle) -> bool:
        """Settle a delivery; False when it is not this session's or the session has ended."""
        consumer = delivery.channel
        if session.ended is not None or not isinstance(consumer, Consumer) or consumer not in session.consumers:
            return False
        stored = consumer.unsettled.pop(delivery.tag, None)
        if stored is None:
            # The socket took it; the broker's answer to a delivery settled twice is to close the channel.
            self.end(session, f"406 PRECONDITION_FAILED - unknown delivery tag {delivery.tag}")
            return True
        if isinstance(consumer.queue, Stream):
            for tag in [tag for tag in consumer.unsettled if tag < delivery.tag]:
                del consumer.unsettled[tag]
        elif how is not Settle.ACK:
            self.flow.take_back(consumer.queue, stored, charged=how is Settle.RETURN)
        self.flow.changed(consumer.queue)
        self.flow.run()
        return True

    def knows(self, session: Session, item: Exchange | Queue) -> bool:
        """Whether an exchange or queue of that name is there."""
        if isinstance(item, Queue):
            return self.depth(session, item.name) is not None
        _check_open(session)
        return item.name in self.flow.exchanges

    def depth(self, session: Session, name: str) -> Depth | None:
        _check_open(session)
        if name not in self.flow.queues:
            return None
        queue = self._find(session, name)
        return Depth(queue.ready, len(queue.consumers))

    def _declare_queue(self, session: Session, declared: Queue) -> None:
        known = self.flow.queues.get(declared.name)
        if known is None:
            self.flow.queues[declared.name] = _made(declared, session if declared.exclusive else None)
            return
        if known.owner is not (session if declared.exclusive else None):
            raise _locked(declared.name)
        what = f"queue '{declared.name}' in vhost '/'"
        check_equivalent(what, declared.arguments, known.declared.arguments)

    def _find(self, session: Session, name: str) -> AnyQueue:
        queue = self.flow.queues.get(name)
        if queue is None:
            raise ChannelRefused(404, f"NOT_FOUND - no queue '{name}' in vhost '/'")
        if queue.owner not in {None, session}:
            raise _locked(name)
        return queue


@contextmanager
def _ending_when_refused(broker: Broker, session: Session) -> Iterator[None]:
    """A refusal closes the channel it was asked on, and the loss of a channel is the loss of the connection."""
    _check_open(session)
    try:
        yield
    except ChannelRefused as refused:
        broker.end(session, str(refused))
        raise


def _check_open(session: Session) -> None:
    if session.ended is not None:
        raise ConnectionLost(session.ended)


def _made(declared: Queue, owner: Session | None) -> AnyQueue:
    kind = declared.arguments.get("x-queue-type", "classic")
    if kind not in QUEUE_TYPES:
        raise ChannelRefused(
            406, f"PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue '{declared.name}' in vhost '/'"
        )
    if declared.exclusive and kind != "classic":
        raise ChannelRefused(
            406, f"PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue '{declared.name}' in vhost '/'"
        )
    return Stream(declared) if kind == "stream" else WorkQueue(declared, owner)


def _check_stream_consumer(queue: str, consumer: Consumer) -> None:
    if consumer.no_ack:
        raise ChannelRefused(
            540, f"NOT_IMPLEMENTED - stream queue '{queue}' cannot be consumed without acknowledgements"
        )
    if not consumer.prefetch:
        raise ChannelRefused(
            406, f"PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '{queue}'"
        )


def _locked(queue: str) -> ChannelRefused:
    return ChannelRefused(
        405, f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'"
    )
