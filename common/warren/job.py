"""A job and its message: the wire contract of docs/protocol.md, as two pure functions.

Any AMQP client may publish a job; so decoding trusts nothing and says exactly what is wrong.
"""

import functools
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from warren.amqp.seam import Message
from warren.limits import Limits
from warren.randomness import ten_bytes

APP_ID = "warren"
CONTENT_TYPE = "application/json"
ENQUEUED_AT = "warren-enqueued-at"
WORKFLOW, NODE = "warren-workflow", "warren-node"
"""Of the job of a workflow's node, and of what is told of it."""
_SHORT_BYTES = 255
"""An AMQP short string: bytes, not characters."""
_FOREIGN_HEADERS_BYTES = 16_384
"""Headers must fit into one AMQP frame together with our evidence; more of somebody else's is not carried on."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a job's message; `items` makes it a chunk of a map, `indexes` their places in the chunk as it was enqueued."""

    task: str
    args: list[msgspec.Raw] = []
    kwargs: dict[str, msgspec.Raw] = {}
    items: list[msgspec.Raw] | None = None
    indexes: list[int] | None = None

    def places(self) -> list[int]:
        """Return each item's place in the chunk as it was enqueued."""
        return self.indexes if self.indexes is not None else list(range(len(self.items or ())))


class Job(msgspec.Struct, frozen=True):
    """One enqueued call of a task, or one chunk of a map; times are seconds since the epoch.

    Attributes:
        attempt: the execution this message is for, 1-based.
        failures: counted failed attempts so far.
        crashes: how often its process, or the whole worker, was lost under it so far.
        losses: how many of these were of the whole worker, or of its connection.
        last_error: what the previous attempt came to, for the task to see.
        ready_at: when this attempt was, or will be, ready to run.
        first_ready_at: when the first attempt was.
        reply_to: routing key of whoever waits for the result.
        expires_at: when its first attempt must have started.
        deadline_at: when its last attempt must have ended.
        wants_result: False when no result shall be published.
        limits: what this call says differently from its task.
        workflow: the id of the workflow that it belongs to, if to any.
        node: its name in that.
        foreign: headers that are not ours, carried along (traceparent and the like).
    """

    id: str
    body: Body
    queue: str
    attempt: int = 1
    failures: int = 0
    crashes: int = 0
    losses: int = 0
    last_error: str = ""
    enqueued_at: float = 0.0
    ready_at: float = 0.0
    first_ready_at: float = 0.0
    expires_at: float | None = None
    deadline_at: float | None = None
    priority: int | None = None
    reply_to: str | None = None
    wants_result: bool = True
    replays: int = 0
    limits: Limits | None = None
    workflow: str = ""
    node: str = ""
    foreign: Mapping[str, object] = msgspec.field(default_factory=dict)

    @property
    def task(self) -> str:
        return self.body.task

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells one execution from another, for recognising a redelivery."""
        return self.id, self.attempt, self.replays

    def next_attempt(self, error: str, *, failed: bool = False, crashed: bool = False) -> "Job":
        """Return the job as its next attempt."""
        return replace(
            self,
            attempt=self.attempt + 1,
            failures=self.failures + failed,
            crashes=self.crashes + crashed,
            last_error=error[:1000],
            expires_at=None,  # it has started
        )


class Undecodable(Exception):
    """A message that is no job; `reason` is the dead letter's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def new_id(now: float | None = None) -> str:
    """Return a UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, then random, so that ids sort by time."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    digits = f"{milliseconds:012x}{ten_bytes().hex()}"
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""RFC 9562's variant in the upper two bits of a random digit."""


def id_time(job_id: str) -> float | None:
    """Return the moment a UUIDv7 was made, or None for any other id."""
    try:
        value = uuid.UUID(job_id)
    except ValueError:
        return None
    return (value.int >> 80) / 1000 if value.version == 7 else None  # noqa: PLR2004


def to_message(job: Job) -> Message:
    """Return the message of a job; the broker's own history headers are never carried along.

    What goes without saying is not said: each header costs broker and worker more than its bytes.
    """
    headers: dict[str, object] = {**foreign_headers(job.foreign), **_times(job)}
    headers |= {name: getattr(job, field) for name, field, unsaid in _SAID if getattr(job, field) != unsaid}
    if job.limits is not None:
        headers["warren-limits"] = msgspec.json.encode(job.limits).decode()
    return Message(
        body=msgspec.json.encode(job.body),
        message_id=job.id,
        type=_short(job.task),
        content_type=CONTENT_TYPE,
        priority=job.priority,
        timestamp=int(job.enqueued_at),
        reply_to=job.reply_to,
        app_id=APP_ID,
        headers=headers,
    )


def _times(job: Job) -> dict[str, object]:
    enqueued, ready, first_ready = _millis(job.enqueued_at), _millis(job.ready_at), _millis(job.first_ready_at)
    times: dict[str, object] = {ENQUEUED_AT: enqueued}
    if ready != enqueued:
        times["warren-ready-at"] = ready
    if first_ready != ready:
        times["warren-first-ready-at"] = first_ready
    if job.expires_at is not None:
        times["warren-expires-at"] = _millis(job.expires_at)
    if job.deadline_at is not None:
        times["warren-deadline-at"] = _millis(job.deadline_at)
    return times


def from_message(message: Message, queue: str, now: float) -> Job:
    """Read a job from a message that may have been written by anybody.

    Args:
        message: as delivered.
        queue: the user's name of the queue it was consumed from.
        now: taken for what the message does not say, seconds since the epoch.

    Raises:
        Undecodable: it is no job; nothing of it was used.
    """
    body = _body(message.body)
    told, foreign = _told(message.headers)
    told.setdefault("enqueued_at", float(message.timestamp) if message.timestamp else now)
    told.setdefault("ready_at", told["enqueued_at"])
    told.setdefault("first_ready_at", told["ready_at"])
    if message.priority is not None:  # on its way through the delay levels a message has none of AMQP's
        told["priority"] = message.priority
    job_id, reply_to = message.message_id or new_id(now), message.reply_to
    return Job(job_id, body, queue, reply_to=reply_to, foreign=foreign, **told)


@functools.lru_cache(maxsize=1024)
def _short(task: str) -> str:
    """As much of a task's name as fits into a property."""
    return task.encode()[:_SHORT_BYTES].decode(errors="ignore")


def foreign_headers(headers: Mapping[str, object]) -> dict[str, object]:
    """Return headers that are neither ours nor the broker's, of types every client can write, within a size."""
    kept: dict[str, object] = {}
    room = _FOREIGN_HEADERS_BYTES
    for name, value in headers.items():
        if name.startswith(_OURS) or not isinstance(value, str | int | bool):
            continue
        room -= len(name.encode()) + (len(value.encode()) if isinstance(value, str) else 8)
        if room >= 0:
            kept[name] = value
    return kept


def encode_body(body: Body) -> bytes:
    """Return a body as it travels."""
    return msgspec.json.encode(body)


def _body(data: bytes) -> Body:
    try:
        body = _BODY.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise Undecodable("undecodable", f"the body is no job: {error or type(error).__name__}") from error
    if not body.task:
        raise Undecodable("undecodable", "the body is no job: `task` is empty")
    if body.indexes is not None and not _are_places(body.indexes, body.items):
        raise Undecodable("undecodable", "the body is no job: `indexes` does not match `items`")
    return body


def _are_places(indexes: list[int], items: list[msgspec.Raw] | None) -> bool:
    """One place for each item, and no place twice: results and retries are told apart by it."""
    return items is not None and len(items) == len(indexes) == len(set(indexes)) and min(indexes, default=0) >= 0


def _told(headers: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, object]]:
    """Return what our headers tell of a job, by its fields, and the foreign headers."""
    told: dict[str, Any] = {}
    foreign = False
    for name, value in headers.items():
        if (known := _HEADERS.get(name)) is not None:
            field, read = known
            told[field] = read(name, value)
        elif not name.startswith(_OURS):
            foreign = True
    return told, foreign_headers(headers) if foreign else {}


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Undecodable("undecodable", f"header {name!r} is {value!r:.60}, expected a whole number")
    return value


def _seconds(name: str, value: object) -> float:
    return _count(name, value) / 1000


def _text(_: str, value: object) -> str:
    return value if isinstance(value, str) else ""


def _limits(name: str, value: object) -> Limits | None:
    text = _text(name, value)
    try:
        return msgspec.json.decode(text, type=Limits) if text else None
    except msgspec.MsgspecError as error:
        raise Undecodable("undecodable", f"header 'warren-limits' is not understood: {error}") from error


def _is_wanted(_: str, value: object) -> bool:
    return value is not False


_HEADERS: dict[str, tuple[str, Callable[[str, object], Any]]] = {
    "warren-attempt": ("attempt", _count),
    "warren-failures": ("failures", _count),
    "warren-crashes": ("crashes", _count),
    "warren-losses": ("losses", _count),
    "warren-replays": ("replays", _count),
    "warren-priority": ("priority", _count),
    "warren-enqueued-at": ("enqueued_at", _seconds),
    "warren-ready-at": ("ready_at", _seconds),
    "warren-first-ready-at": ("first_ready_at", _seconds),
    "warren-expires-at": ("expires_at", _seconds),
    "warren-deadline-at": ("deadline_at", _seconds),
    "warren-last-error": ("last_error", _text),
    "warren-limits": ("limits", _limits),
    WORKFLOW: ("workflow", _text),
    NODE: ("node", _text),
    "warren-result": ("wants_result", _is_wanted),
}
"""The field each header tells of, and how it is read."""
_SAID: tuple[tuple[str, str, object], ...] = (
    ("warren-attempt", "attempt", 1),
    ("warren-failures", "failures", 0),
    ("warren-crashes", "crashes", 0),
    ("warren-losses", "losses", 0),
    ("warren-last-error", "last_error", ""),
    ("warren-replays", "replays", 0),
    ("warren-priority", "priority", None),
    ("warren-result", "wants_result", True),
    (WORKFLOW, "workflow", ""),
    (NODE, "node", ""),
)
"""The headers whose values are those of a field, and the value that goes without saying."""
_OURS = ("warren-", "x-")
"""How the names of our own and of the broker's headers begin."""


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


_BODY = msgspec.json.Decoder(Body)
