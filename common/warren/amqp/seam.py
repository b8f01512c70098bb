"""The narrow seam to RabbitMQ: everything Warren asks of a broker, and nothing else.

A `Connection` is one open connection. It never repairs itself: when anything is lost (socket, channel, consumer), `lost`
is resolved once and the owner builds a new connection from declared state through the code path of the first start.
Three engines satisfy the protocol: pika, aio-pika and memory; one conformance suite runs on all of them.
"""

import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from warren.topology import Binding, Exchange, Queue

Headers = Mapping[str, object]


class Message(msgspec.Struct, frozen=True):
    """What is published or delivered: a body and the AMQP properties that Warren uses.

    Always published persistent (delivery mode 2). `timestamp` is in whole seconds since the epoch, `expiration` in milliseconds.
    """

    body: bytes
    message_id: str | None = None
    type: str | None = None
    content_type: str | None = None
    priority: int | None = None
    timestamp: int | None = None
    expiration: int | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    app_id: str | None = None
    headers: Headers = msgspec.field(default_factory=dict)


class Form(msgspec.Struct, frozen=True, eq=False):
    """What many messages have in common; each fills in its body, its id and its time.

    Attributes:
        sample: one of them; without an id.
        stamp: the header that has the time in milliseconds, as `timestamp` has it in seconds.
    """

    sample: Message
    stamp: str


class Copy(msgspec.Struct, frozen=True, eq=False):
    """A form filled in: a message that an engine may write without making it first."""

    form: Form
    message_id: str
    millis: int
    body: bytes

    def message(self) -> Message:
        """Return it as the message that it is."""
        sample, stamp = self.form.sample, {self.form.stamp: self.millis}
        return msgspec.structs.replace(
            sample,
            body=self.body,
            message_id=self.message_id,
            timestamp=self.millis // 1000,
            headers={**sample.headers, **stamp},
        )


Letter = Message | Copy


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """A message handed to a consumer, not settled yet.

    `queue` is the broker's name of the queue it was consumed from; `channel` and `tag` belong to the engine and are
    meaningless on any other connection: that is how a stale settle is recognised.
    """

    message: Message
    queue: str
    exchange: str
    routing_key: str
    redelivered: bool
    tag: int
    channel: object


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """A running consumer: its queue and the engine's handle of it.

    `leaves_nothing` when no delivery of it can be settled after the cancel (no_ack, streams): it has a channel of its own,
    which is closed then.
    """

    queue: str
    channel: object
    tag: str
    leaves_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages ready and consumers of a queue, as the broker counts them."""

    ready: int
    consumers: int


class Settle(enum.Enum):
    """The three things one can say about a delivery.

    ACK removes it. GIVE_BACK returns it uncharged where the broker can (nack: uncharged on 4.3, charged before);
    RETURN returns it charged to its delivery limit (reject).
    """

    ACK = "ack"
    GIVE_BACK = "give back"
    RETURN = "return"


class StreamStart(enum.Enum):
    """Where to start reading a stream when no timestamp is given."""

    FIRST = "first"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class StreamFrom:
    """Start reading a stream at the chunk that holds this moment (seconds since the epoch)."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class StreamAt:
    """Start reading a stream at the message of this offset, the first being 0; nothing comes while it is not there yet."""

    offset: int


StreamOffset = StreamStart | StreamFrom | StreamAt
OFFSET = "x-stream-offset"
"""The header in which a delivery from a stream says where in it the message stands."""
OnDelivery = Callable[[Delivery], None]


class Connection(Protocol):
    """One open connection; made by an engine's `connect`, used from the event loop it was made on."""

    lost: asyncio.Future[str]
    """Resolved once with the reason when the connection, one of its channels or consumers ends without our asking;

    with `cancelled(queue)` when it was the broker that cancelled a consumer: its queue was deleted, or (RabbitMQ 4.3) an ack took too long;
    with `missing(queue)` when a message was asked for of a queue that is not there.
    """

    @property
    def blocked(self) -> bool:
        """True between the broker's connection.blocked and connection.unblocked (memory or disk alarm)."""
        ...

    def publish(
        self, message: Message, exchange: str, routing_key: str, *, mandatory: bool = True
    ) -> asyncio.Future[None]:
        """Send now; the future is done when the broker confirms.

        Fails with `Returned` (no queue took it), `Nacked`, `ChannelRefused` (code 404, 403, 406...) or `ConnectionLost`.
        It has no deadline of its own.
        """
        ...

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        *,
        prefetch: int = 1,
        no_ack: bool = False,
        offset: StreamOffset | None = None,
    ) -> Subscription:
        """Consume with a fresh tag; `on_delivery` is called on the loop, must not block or raise.

        Fails with `ChannelRefused`; that costs nothing else of the connection.
        """
        ...

    async def cancel(self, subscription: Subscription) -> None:
        """Take no new deliveries; those already handed over may still be settled."""
        ...

    async def get(self, queue: str) -> Delivery | None:
        """Ask for a queue's next message, to be settled as any other; None when none is ready.

        Whoever asks several times at once is answered in that order. Fails with `ChannelRefused`, which is the loss of the
        connection: what was got from the same queue cannot be settled any more.
        """
        ...

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        """Settle a delivery; False when it is stale: its channel is gone and the broker has it back already.

        What is read at an offset, from a stream, is only acked, in its order: that makes room for more, and one ack stands for all
        that came before it.
        """
        ...

    async def declare(self, *items: Exchange | Queue | Binding) -> None:
        """Declare in order. Fails with `ChannelRefused` (406 when the broker holds it with other arguments)."""
        ...

    async def exists(self, item: Exchange | Queue) -> bool:
        """Whether an exchange or queue of that name is there (a passive declaration)."""
        ...

    async def depth(self, queue: str) -> Depth | None:
        """Ready messages and consumers, or None when there is no such queue."""
        ...

    async def close(self) -> None:
        """Close in order, at once when already lost; deliveries not settled go back to their queues."""
        ...


class Confirm(Protocol):
    """Who is told of a publish: an `asyncio.Future`, or another thread's way to wait."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def set_exception(self, exception: "AmqpError", /) -> None: ...


class Together(Protocol):
    """Publishing several messages in one call, and from other threads than the loop's."""

    def publish(self, letters: Sequence[Letter], exchange: str, routing_key: str) -> asyncio.Future[None]:
        """Send mandatory messages now; the future is done when all are answered, and fails with `SomeFailed` where there are several."""
        ...

    def publish_from_thread(self, letters: Sequence[Letter], exchange: str, routing_key: str, confirm: Confirm) -> bool:
        """As `publish`, in any thread; `confirm` is told, by whichever thread hears of it, as the future would be.

        False when it cannot be done now and nothing was sent: publish on the loop.
        """
        ...

    def give_up(self, confirm: Confirm) -> "AmqpError":
        """Return what is known, in any thread, of what was published with `confirm`: `Late` of what is not answered."""
        ...

    def listen_from_thread(self, confirm: Confirm, until: float) -> None:
        """Read what the broker says, in the calling thread, until `confirm` is told; `until` is of `time.monotonic`.

        It returns earlier where that cannot be done, or while another thread reads, which will tell it; as that one may
        stop, call it again from time to time.
        """
        ...

    def stop_listening(self) -> None:
        """End the listening of the calling thread, when a signal handler interrupts that and will wait for something else."""
        ...


@runtime_checkable
class PublishesTogether(Protocol):
    """A connection that can do that; of any other, `warren.amqp.one_by_one` makes use."""

    @property
    def together(self) -> Together: ...


def cancelled(queue: str) -> str:
    """Return the reason of a loss that began with the broker's cancelling a consumer of this queue."""
    return f"the broker cancelled the consumer of queue {queue!r}"


def missing(queue: str) -> str:
    """Return the reason of a loss that began with asking for a message of a queue that is not there."""
    return f"the broker has no queue {queue!r}"


class AmqpError(Exception):
    """The broker or the connection said no; translated to the public errors at the edge."""


class ConnectionLost(AmqpError):
    """The connection ended; what was in flight has an unknown fate."""


class ConnectFailed(AmqpError):
    """No connection could be made; `permanent` when trying again cannot help (credentials, vhost)."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class Returned(AmqpError):
    """A mandatory message matched no queue and came back."""


class Nacked(AmqpError):
    """The broker refused the message (a full queue with reject-publish)."""


class Late(AmqpError):
    """A publish that was not answered when whoever waited gave up; its fate is unknown."""


class SomeFailed(AmqpError):
    """Of messages that were published together; `errors` has those that failed by their place, all others are confirmed."""

    def __init__(self, errors: Mapping[int, AmqpError]) -> None:
        super().__init__(f"{len(errors)} publishes failed")
        self.errors = errors


class ChannelRefused(AmqpError):
    """The broker closed the channel over what was asked: 403 access, 404 not found, 405 locked, 406 precondition."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text

    @property
    def permanent(self) -> bool:
        """Whether asking again cannot help: no permission, or other arguments.

        A 404 passes: a broker that starts or stops says it of queues whose node is "down or inaccessible".
        """
        return self.code in {403, 406}

    @property
    def absent(self) -> bool:
        """Whether it is sure that a queue or exchange is not there, and not only its node just now."""
        return self.code == 404 and any(said in self.text for said in ("no queue '", "no exchange '"))  # noqa: PLR2004
