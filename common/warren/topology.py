"""What Warren declares on a broker, as pure data: exchanges, queues, bindings, and their names.

Arguments of a queue are final on RabbitMQ, so they are few; what an operator may want to change later is a policy.
Sources: quorum queues and at-least-once dead-lettering (rabbitmq.com/docs/quorum-queues), alternate exchanges (rabbitmq.com/docs/ae).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from warren.errors import InvalidName

DELAY_LEVELS = 29
"""Binary levels of 100 ms: 2**29 * 0.1 s is 621 days, so a year fits."""
DELAY_UNIT_MS = 100
DELIVERY_LIMIT = 20
"""How often the broker hands a job out again after a worker died with it, before it becomes a dead letter by itself."""
UNLIMITED_DELIVERIES = 1_000_000_000
"""For dead letters, which are looked at often: -1 means "at once" on RabbitMQ 3.10, and no limit means 20 on 4.x."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")

Arguments = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange: kind is `direct`, `topic`, `fanout` or `headers`; with `auto_delete` it goes with the last binding from it."""

    name: str
    kind: str
    arguments: Arguments = field(default_factory=dict)
    auto_delete: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue, or with `exclusive` one that lives and dies with the connection that declares it."""

    name: str
    arguments: Arguments = field(default_factory=dict)
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """From an exchange to a queue, or to another exchange.

    From one of kind `headers`, `header` is the name of the header that a message must have, whatever it says there.
    """

    source: str
    target: str
    key: str
    to_exchange: bool = False
    header: str = ""

    @property
    def arguments(self) -> dict[str, str | None]:
        """As the broker takes them (rabbitmq.com/docs/exchanges#headers)."""
        return {"x-match": "any", self.header: None} if self.header else {}


Item = Exchange | Queue | Binding


def check_name(name: str, what: str) -> str:
    """Return the name of a queue or namespace unchanged, or say why it cannot be one.

    Raises:
        InvalidName: not 1 to 100 letters, digits, `_ . : -`, or starting with a sign.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(what, name)
    return name


@dataclass(frozen=True, slots=True)
class Names:
    """Every broker name of one namespace; several installations share a vhost by having different ones."""

    namespace: str = "warren"

    def __post_init__(self) -> None:
        check_name(self.namespace, "namespace")

    @property
    def jobs(self) -> str:
        return f"{self.namespace}.jobs"

    @property
    def results(self) -> str:
        return f"{self.namespace}.results"

    @property
    def dead(self) -> str:
        return f"{self.namespace}.dead"

    @property
    def control(self) -> str:
        return f"{self.namespace}.control"

    @property
    def workers(self) -> str:
        return f"{self.namespace}.workers"

    @property
    def workflows(self) -> str:
        return f"{self.namespace}.workflows"

    @property
    def schedules(self) -> str:
        return f"{self.namespace}.schedules"

    @property
    def delay_out(self) -> str:
        return f"{self.namespace}.delay.out"

    @property
    def delays_ready(self) -> str:
        return f"{self.namespace}.delay.ready"

    def delay(self, level: int) -> str:
        return f"{self.namespace}.delay.{level:02d}"

    def queue(self, name: str) -> str:
        return f"{self.namespace}.queue.{name}"

    def queue_of(self, broker_name: str) -> str:
        """Return the user's name of a work queue, given the broker's."""
        return broker_name.removeprefix(f"{self.namespace}.queue.")

    @property
    def history(self) -> "HistoryNames":
        """Return the names of what is there for whoever keeps history."""
        return HistoryNames(self.namespace)

    def reply(self, unique: str) -> str:
        return f"{self.namespace}.reply.{unique}"

    def hears(self, unique: str) -> str:
        """Return the name of the queue on which one worker hears what is said to all."""
        return f"{self.namespace}.control.{unique}"


@dataclass(frozen=True, slots=True)
class HistoryNames:
    """The names of what is there for whoever keeps history."""

    namespace: str

    @property
    def stream(self) -> str:
        return f"{self.namespace}.history"

    @property
    def copies(self) -> str:
        return f"{self.namespace}.copies"

    @property
    def dead_copies(self) -> str:
        return f"{self.namespace}.copies.dead"

    @property
    def events(self) -> str:
        return f"{self.namespace}.events"

    def copy_of(self, broker_name: str) -> str:
        """Return the name of the exchange that a queue's messages are copied by, given the queue's."""
        return f"{self.namespace}.copy{broker_name.removeprefix(self.namespace)}"


def base(names: Names) -> Iterator[Item]:
    """Exchanges and queues that every installation has, whatever its queues: jobs, results, dead letters, control."""
    yield Exchange(names.jobs, "direct")
    yield Exchange(names.results, "topic")
    yield Exchange(names.dead, "fanout")
    yield Exchange(names.history.copies, "fanout")
    yield events_exchange(names)
    yield Queue(names.dead, {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED_DELIVERIES})
    yield Binding(names.dead, names.dead, "")
    # Schedulers want copies of dead letters, too; and their queues must not make a dead letter look kept that is not.
    yield Exchange(names.history.dead_copies, "fanout")
    yield Binding(names.history.dead_copies, names.history.copies, "", to_exchange=True)
    yield from copied(names, names.dead, names.dead, "", names.history.dead_copies)
    yield Queue(names.results, RESULT_STREAM)
    yield Binding(names.results, names.results, "#")
    yield Exchange(names.control, "topic")
    yield Queue(names.control, CONTROL_STREAM)
    yield Binding(names.control, names.control, f"{KEPT}.#")
    yield Binding(names.control, names.control, MARK)
    # Jobs come out of the delay here. One whose queue was deleted meanwhile is a dead letter, and never blocks the others.
    yield Exchange(names.delay_out, "topic", {"alternate-exchange": names.dead})


def events_exchange(names: Names) -> Exchange:
    """Where workers tell what happens to jobs, while somebody keeps history."""
    return Exchange(names.history.events, "topic")


def copied(names: Names, queue: str, source: str, key: str, to: str = "") -> Iterator[Item]:
    """Have what an exchange routes to a queue by `key` copied to another, for whoever keeps history; the queue is there.

    A plain binding to the copies would make the broker's word a lie: with the queue deleted, a mandatory message would still
    be routed, to history alone, and confirmed. So it goes by an exchange of its own that matches nothing and passes all on to
    its alternate; its only binding is to the queue, and when that is deleted, the exchange and this whole path go with it.

    Args:
        names: of the namespace.
        queue: the broker's name of it.
        source: the exchange.
        key: by which it routes to the queue.
        to: the exchange that gets the copies, `<namespace>.copies` by default.
    """
    name = names.history.copy_of(queue)
    yield Exchange(name, "direct", {"alternate-exchange": to or names.history.copies}, auto_delete=True)
    yield Binding(name, queue, _NEVER)
    yield Binding(source, name, key, to_exchange=True)


_NEVER = "never routed"
"""No routing key: names of queues have no blanks."""

RESULT_STREAM: Arguments = {
    "x-queue-type": "stream",
    "x-max-age": "1D",
    "x-max-length-bytes": 2_000_000_000,
    "x-stream-max-segment-size-bytes": 20_000_000,
}
"""Results are kept for a day for whoever asks later by id; retention works by whole segments, hence small ones."""

KEPT, LIVE, MARK, REPLY = "kept", "live", "mark", "reply"
"""First words of the routing keys of control: what is kept for workers to come, what only those that live now need to hear,
where a reader of the stream finds its end, and what is answered to whoever asks."""
CONTROL_STREAM: Arguments = {
    "x-queue-type": "stream",
    "x-max-age": "400D",
    "x-max-length-bytes": 50_000_000,
    "x-stream-max-segment-size-bytes": 1_000_000,
}
"""Longer than any job can be delayed; what a worker that starts has to read is bounded."""


def hearing(names: Names, unique: str) -> Iterator[Item]:
    """The queue on which one worker hears what is said to all, for as long as its connection lives."""
    yield Queue(names.hears(unique), exclusive=True)
    yield Binding(names.control, names.hears(unique), f"{KEPT}.#")
    yield Binding(names.control, names.hears(unique), f"{LIVE}.#")


def workers(names: Names) -> Iterator[Item]:
    """What the workers' statuses need: an exchange for whoever wants them live, and a stream of the last hour."""
    yield workers_exchange(names)
    yield Queue(names.workers, WORKER_STREAM)
    yield Binding(names.workers, names.workers, "")


def workers_exchange(names: Names) -> Exchange:
    """Where workers say how they are."""
    return Exchange(names.workers, "fanout")


WORKER_STREAM: Arguments = {
    "x-queue-type": "stream",
    "x-max-age": "1h",
    "x-max-length-bytes": 50_000_000,
    "x-stream-max-segment-size-bytes": 2_000_000,
}
"""A hundred workers fill it in about half an hour; only the last minute of it is read."""


def workflows(names: Names) -> Iterator[Item]:
    """What workflows need besides `base`: whoever starts one declares it, and so do schedulers.

    One queue for all that moves a workflow, so that what happens to it has an order: what is said of it, the results of its
    jobs, and their dead letters, since the broker writes some itself, of which there is no result. Only theirs: where no
    scheduler runs, nobody empties the queue.
    """
    sorted_out = f"{names.dead}.workflows"
    yield Exchange(names.workflows, "direct")
    yield Queue(names.workflows, {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED_DELIVERIES})
    yield Binding(names.workflows, names.workflows, WORKFLOWS)
    yield Binding(names.results, names.workflows, WORKFLOW_JOB)
    yield Exchange(sorted_out, "headers")
    yield Binding(names.history.dead_copies, sorted_out, "", to_exchange=True)
    yield Binding(sorted_out, names.workflows, "", header="warren-workflow")


WORKFLOWS, WORKFLOW_JOB = "workflows", "workflow"
"""Routing keys: of what is said of workflows, and of the results of their jobs, whose `reply_to` it is."""


def schedules(names: Names) -> Iterator[Item]:
    """What schedulers need besides `base`: to hear how the jobs of schedules end, those too that the broker buries itself.

    Where no scheduler runs any more nobody empties it; so it is bounded.
    """
    yield Queue(
        names.schedules,
        {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED_DELIVERIES, "x-max-length-bytes": 50_000_000},
    )
    yield Binding(names.results, names.schedules, SCHEDULE_JOB)
    yield Binding(names.history.dead_copies, names.schedules, "")


SCHEDULE_JOB = "schedule"
"""Routing key of the results of schedules' jobs, whose `reply_to` it is."""


def work_queue(names: Names, queue: str) -> Iterator[Item]:
    """Everything one queue of jobs needs besides `base`.

    Raises:
        InvalidName: see `check_name`.
    """
    name = names.queue(check_name(queue, "queue"))
    yield Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": names.dead,
            "x-dead-letter-routing-key": queue,
            # At-least-once dead-lettering is silently at-most-once without reject-publish.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    yield Binding(names.jobs, name, queue)
    yield from copied(names, name, names.jobs, queue)
    # Exactly one word per level, so that the queue `b` never also receives what is meant for `a.b`.
    yield Binding(names.delay_out, name, "*." * DELAY_LEVELS + queue)


def delays(names: Names) -> Iterator[Item]:
    """The levels of the delay: a job enters at its highest bit and falls from level to level, waiting 2**n units where its bit is 1.

    Each level is a topic exchange and a quorum queue whose TTL is its time; dead-lettering carries the job to the next level.
    The design is NServiceBus's (docs.particular.net/transports/rabbitmq/delayed-delivery).
    """
    for level in range(DELAY_LEVELS):
        name, below = names.delay(level), names.delay(level - 1) if level else names.delay_out
        yield Exchange(name, "topic")
        yield Queue(
            name,
            {
                "x-queue-type": "quorum",
                "x-message-ttl": DELAY_UNIT_MS * 2**level,
                "x-dead-letter-exchange": below,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                # A level is never consumed, but RabbitMQ 4 counts for its own purposes: be explicit, as everywhere.
                "x-delivery-limit": DELIVERY_LIMIT,
            },
        )
        place = "*." * (DELAY_LEVELS - 1 - level)
        yield Binding(name, name, f"{place}1.#")
        yield Binding(name, below, f"{place}0.#", to_exchange=True)
        # Where it enters, and at no level after that: there a digit before was 1.
        yield from copied(names, name, name, f"{'0.' * (DELAY_LEVELS - 1 - level)}1.#")
    yield delays_marker(names)


def delays_marker(names: Names) -> Exchange:
    """Declared last, so that one look tells whether all levels are there: declaring them takes about a second."""
    return Exchange(names.delays_ready, "fanout")


def everything(names: Names, queues: tuple[str, ...]) -> tuple[Item, ...]:
    """The whole plan for a namespace and these queues, in an order in which it can be declared."""
    return (
        *base(names),
        *workers(names),
        *workflows(names),
        *schedules(names),
        *delays(names),
        *(item for queue in queues for item in work_queue(names, queue)),
    )
