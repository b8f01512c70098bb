"""A job and its message: the wire contract of docs/protocol.md, as two pure functions.

Any AMQP client may publish a job; so decoding trusts nothing and says exactly what is wrong.
"""

import functools
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from warren.amqp.seam import Message
from warren.limits import Limits
from warren.randomness import ten_bytes

VERSION = 1
APP_ID = "warren"
CONTENT_TYPE = "application/json"
ENQUEUED_AT = "warren-enqueued-at"
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


@dataclass(frozen=True, slots=True)
class Job:
    """One enqueued call of a task, or one chunk of a map; times are seconds since the epoch.

    Attributes:
        attempt: the execution this message is for, 1-based.
        failures: counted failed attempts so far.
        crashes: attempts that killed their process so far.
        last_error: what the previous attempt came to, for the task to see.
        ready_at: when this attempt was, or will be, ready to run.
        first_ready_at: when the first attempt was.
        reply_to: routing key of whoever waits for the result.
        wants_result: False when no result shall be published.
        limits: what this call says differently from its task.
        foreign: headers that are not ours, carried along (traceparent and the like).
    """

    id: str
    body: Body
    queue: str
    attempt: int = 1
    failures: int = 0
    crashes: int = 0
    last_error: str = ""
    enqueued_at: float = 0.0
    ready_at: float = 0.0
    first_ready_at: float = 0.0
    expires_at: float | None = None
    priority: int | None = None
    reply_to: str | None = None
    wants_result: bool = True
    replays: int = 0
    limits: Limits | None = None
    foreign: Mapping[str, object] = field(default_factory=dict)

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
    """Return the message of a job; the broker's own history headers are never carried along."""
    headers: dict[str, object] = {
        **job.foreign,
        "warren-version": VERSION,
        "warren-attempt": job.attempt,
        **_times(job),
    }
    if job.queue:
        headers["warren-queue"] = job.queue
    if job.failures:
        headers["warren-failures"] = job.failures
    if job.crashes:
        headers["warren-crashes"] = job.crashes
    if job.last_error:
        headers["warren-last-error"] = job.last_error
    if job.replays:
        headers["warren-replays"] = job.replays
    if job.priority is not None:
        headers["warren-priority"] = job.priority
    if job.limits is not None:
        headers["warren-limits"] = msgspec.json.encode(job.limits).decode()
    if not job.wants_result:
        headers["warren-result"] = False
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
    # Most jobs are ready when they are enqueued, and each header costs broker and worker more than its bytes.
    if ready != enqueued:
        times["warren-ready-at"] = ready
    if first_ready != ready:
        times["warren-first-ready-at"] = first_ready
    if job.expires_at is not None:
        times["warren-expires-at"] = _millis(job.expires_at)
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
    headers = _Headers(message.headers)
    body = _body(message.body)
    enqueued_at = headers.seconds(ENQUEUED_AT, float(message.timestamp) if message.timestamp else now)
    ready_at = headers.seconds("warren-ready-at", enqueued_at)
    expires_at = headers.seconds("warren-expires-at", -1.0)
    return Job(
        id=message.message_id or new_id(now),
        body=body,
        queue=queue,
        attempt=headers.count("warren-attempt", 1),
        failures=headers.count("warren-failures", 0),
        crashes=headers.count("warren-crashes", 0),
        last_error=headers.text("warren-last-error"),
        enqueued_at=enqueued_at,
        ready_at=ready_at,
        first_ready_at=headers.seconds("warren-first-ready-at", ready_at),
        expires_at=expires_at if expires_at >= 0 else None,
        priority=_priority(message, headers),
        reply_to=message.reply_to,
        wants_result=message.headers.get("warren-result") is not False,
        replays=headers.count("warren-replays", 0),
        limits=_limits(headers.text("warren-limits")),
        foreign=foreign_headers(message.headers),
    )


@functools.lru_cache(maxsize=1024)
def _short(task: str) -> str:
    """As much of a task's name as fits into a property."""
    return task.encode()[:_SHORT_BYTES].decode(errors="ignore")


def foreign_headers(headers: Mapping[str, object]) -> dict[str, object]:
    """Return headers that are neither ours nor the broker's, of types every client can write, within a size."""
    kept: dict[str, object] = {}
    room = _FOREIGN_HEADERS_BYTES
    for name, value in headers.items():
        if name.startswith(("warren-", "x-")) or not isinstance(value, str | int | bool):
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


def _priority(message: Message, headers: "_Headers") -> int | None:
    """On its way through the delay levels a message has none of AMQP's."""
    if message.priority is not None or "warren-priority" not in headers.values:
        return message.priority
    return headers.count("warren-priority", 0)


def _limits(text: str) -> Limits | None:
    try:
        return msgspec.json.decode(text, type=Limits) if text else None
    except msgspec.MsgspecError as error:
        raise Undecodable("undecodable", f"header 'warren-limits' is not understood: {error}") from error


@dataclass(frozen=True, slots=True)
class _Headers:
    values: Mapping[str, object]

    def count(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise Undecodable("undecodable", f"header {name!r} is {value!r:.60}, expected a whole number")
        return value

    def seconds(self, name: str, default: float) -> float:
        return self.count(name, 0) / 1000 if name in self.values else default

    def text(self, name: str) -> str:
        value: Any = self.values.get(name, "")
        return value if isinstance(value, str) else ""


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


_BODY = msgspec.json.Decoder(Body)
