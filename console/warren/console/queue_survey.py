"""How the queues of a namespace are: by RabbitMQ's management API, or as far as AMQP tells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from warren.amqp.seam import Connection
from warren.console.failing import NotFound
from warren.console.management import Management
from warren.settings import Settings
from warren.topology import Names, check_name


@dataclass(frozen=True, slots=True)
class QueueLine:
    """What is told of one queue; `stuck` are jobs that died but cannot get to the dead letters, None where it is unknown."""

    queue: str
    ready: int
    unacked: int | None
    consumers: int
    stuck: int | None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages a second into a queue, and acknowledged out of it, as the broker counted them last; None where it does not."""

    incoming: float | None
    acked: float | None


@dataclass(frozen=True, slots=True)
class Survey:
    """The queues of a namespace, and the sums that go below them; None where AMQP alone does not tell."""

    lines: tuple[QueueLine, ...]
    delayed: int | None = None
    dead: int | None = None
    stuck: int | None = None
    flows: Mapping[str, Flow] = field(default_factory=dict)


def survey(settings: Settings) -> Survey:
    """Ask the management API.

    Raises:
        ManagementUnavailable: it does not answer.
        NotFound: the namespace has nothing on this broker.
    """
    names = Names(settings.namespace)
    found = Management.of(settings).queues(f"{settings.namespace}.")
    if not found:
        raise NotFound(
            f"there is nothing of namespace {settings.namespace!r} on this broker yet: start a worker, enqueue a job, "
            "or run `warren topology apply`"
        )
    work = sorted((queue for queue in found if queue["name"].startswith(names.queue(""))), key=lambda one: one["name"])
    delays = [queue for queue in found if queue["name"].startswith(f"{settings.namespace}.delay.")]
    dead = [queue for queue in found if queue["name"] == names.dead]
    return Survey(
        lines=tuple(_line(names.queue_of(queue["name"]), queue) for queue in work),
        delayed=sum(_number(queue, "messages") - _number(queue, "messages_dlx") for queue in delays),
        dead=sum(_number(queue, "messages") for queue in dead),
        stuck=sum(_number(queue, "messages_dlx") for queue in (*work, *delays)),
        flows={names.queue_of(queue["name"]): Flow(_rate(queue, "publish"), _rate(queue, "ack")) for queue in work},
    )


async def depths(connection: Connection, names: Names, queues: Iterable[str]) -> tuple[QueueLine, ...]:
    """Return those of these queues that there are, by AMQP."""
    found = []
    for name in queues:
        depth = await connection.depth(names.queue(check_name(name, "queue")))
        if depth is not None:
            found.append(QueueLine(name, depth.ready, None, depth.consumers, None))
    return tuple(found)


def _line(name: str, queue: dict[str, Any]) -> QueueLine:
    return QueueLine(
        name,
        _number(queue, "messages_ready"),
        _number(queue, "messages_unacknowledged"),
        _number(queue, "consumers"),
        _number(queue, "messages_dlx"),
    )


def _number(queue: dict[str, Any], name: str) -> int:
    value = queue.get(name)
    return value if isinstance(value, int) else 0  # a queue that was just declared has no numbers yet


def _rate(queue: dict[str, Any], what: str) -> float | None:
    """A queue in which nothing happened yet has no rates; nor has any where the broker was told not to count them."""
    stats = queue.get("message_stats")
    details = stats.get(f"{what}_details") if isinstance(stats, dict) else None
    value = details.get("rate") if isinstance(details, dict) else None
    return float(value) if isinstance(value, int | float) else None
