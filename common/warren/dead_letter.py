"""Dead letters: the job as it came, with the reason and the evidence in headers; written by workers, read by operators.

The broker writes some itself (an expired message, a delivery limit, a delayed job whose queue is gone): those have no
reason of ours, and it is read from what the broker says.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from warren.amqp.seam import Message
from warren.job import Job, Undecodable, foreign_headers, from_message, new_id, to_message
from warren.outcome import Failure
from warren.topology import DELAY_LEVELS

_TRACEBACK = 8_000
_OUTPUT_BYTES, _STACK_BYTES = 4_096, 8_192
"""All that we write must fit into one AMQP frame, of 128 KiB, together with what others wrote."""
_BROKER_REASONS = {
    "expired": ("expired", "its AMQP expiration was over before a worker took it"),
    "delivery_limit": ("delivery_limit", "it was handed out too often to workers that died with it"),
    "maxlen": ("dropped", "the queue was full"),
    "rejected": ("rejected", "a consumer rejected it"),
}
_LEVEL = re.compile(r".+\.delay\.\d\d")
_UNROUTABLE = ("unroutable", "its queue did not exist any more when its delay was over")


class Evidence(msgspec.Struct, frozen=True):
    """Why a job died, and where; of a crash, how its process ended, as `Crashed` has it."""

    reason: str
    failure: Failure
    worker: str
    died_at: float
    signal: int | None = None
    exit_code: int | None = None
    max_rss: int = 0
    output: str = ""
    stack: str = ""
    oom: bool | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as an operator sees it; times are seconds since the epoch."""

    id: str
    task: str
    queue: str
    reason: str
    error: str
    error_type: str
    traceback: str
    attempts: int
    crashes: int
    signal: int | None
    exit_code: int | None
    max_rss: int
    output: str
    stack: str
    oom: bool | None
    worker: str
    enqueued_at: float | None
    died_at: float | None
    replays: int
    items: int | None
    body: bytes
    job: Job | None
    """None when the body is no job: it can be shown and dropped, not replayed."""


def bury(message: Message, queue: str, evidence: Evidence, job: Job | None) -> Message:
    """Return the dead letter's message: of the job if there is one, else of the bytes as they came."""
    base = to_message(job) if job is not None else _raw(message)
    headers = dict(base.headers)
    headers |= {
        "warren-queue": queue,
        "warren-dead-reason": evidence.reason,
        "warren-dead-error": evidence.failure.message[:_TRACEBACK],
        "warren-dead-error-type": evidence.failure.type[:200],
        "warren-dead-traceback": evidence.failure.traceback[-_TRACEBACK:],
        "warren-dead-worker": evidence.worker,
        "warren-dead-at": round(evidence.died_at * 1000),
    }
    known = {
        "signal": evidence.signal,
        "exit-code": evidence.exit_code,
        "max-rss": evidence.max_rss or None,
        "oom": evidence.oom,
        "output": _last(evidence.output, _OUTPUT_BYTES) or None,
        "stack": _first(evidence.stack, _STACK_BYTES) or None,
    }
    headers |= {f"warren-dead-{name}": value for name, value in known.items() if value is not None}
    return replace(base, headers=headers)


def read(message: Message, routing_key: str, now: float) -> DeadLetter:
    """Read a dead letter, whoever wrote it."""
    headers = message.headers
    reason, error = _why(headers)
    queue = _text(headers, "warren-queue") or _queue_of(routing_key)
    job = _job(message, queue, now)
    died_ms = _number(headers, "warren-dead-at")
    return DeadLetter(
        id=message.message_id or f"anonymous-{hashlib.sha256(message.body).hexdigest()[:16]}",
        task=job.task if job else _task_of(message),
        queue=queue,
        reason=reason,
        error=error,
        error_type=_text(headers, "warren-dead-error-type"),
        traceback=_text(headers, "warren-dead-traceback"),
        attempts=job.attempt if job else 0,
        crashes=_number(headers, "warren-crashes") or 0,
        signal=_number(headers, "warren-dead-signal"),
        exit_code=_number(headers, "warren-dead-exit-code"),
        max_rss=_number(headers, "warren-dead-max-rss") or 0,
        output=_text(headers, "warren-dead-output"),
        stack=_text(headers, "warren-dead-stack"),
        oom=_truth(headers, "warren-dead-oom"),
        worker=_text(headers, "warren-dead-worker"),
        enqueued_at=job.enqueued_at if job else message.timestamp,
        died_at=died_ms / 1000 if died_ms is not None else _died_by_broker(headers),
        replays=job.replays if job else 0,
        items=len(job.body.items) if job and job.body.items is not None else None,
        body=message.body,
        job=job,
    )


def revived(dead: DeadLetter, now: float) -> Job | None:
    """Return the job to enqueue again: same id and lineage, attempts from the start; None when it is no job."""
    if dead.job is None:
        return None
    return replace(
        dead.job,
        attempt=1,
        failures=0,
        crashes=0,
        losses=0,
        replays=dead.job.replays + 1,
        expires_at=None,
        deadline_at=None,
        ready_at=now,
        first_ready_at=now,
        last_error=f"{dead.reason}: {dead.error}"[:1000],
    )


def _raw(message: Message) -> Message:
    headers: dict[str, object] = dict(foreign_headers(message.headers))
    return replace(
        message,
        message_id=message.message_id or new_id(),
        expiration=None,
        priority=None,
        headers=headers,
    )


def _job(message: Message, queue: str, now: float) -> Job | None:
    try:
        return from_message(message, queue, now)
    except Undecodable:
        return None


def _task_of(message: Message) -> str:
    try:
        task = msgspec.json.decode(message.body, type=_Named).task
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return message.type or ""
    return task[:200]


class _Named(msgspec.Struct):
    task: str = ""


def _why(headers: Mapping[str, object]) -> tuple[str, str]:
    ours = _text(headers, "warren-dead-reason")
    if ours:
        return ours, _text(headers, "warren-dead-error")
    by_queue = {str(death.get("queue")): str(death.get("reason")) for death in _deaths(headers)}
    for queue, theirs in by_queue.items():
        if not _is_level(queue):
            return _BROKER_REASONS.get(theirs, (theirs, ""))
    return _UNROUTABLE if by_queue else ("unknown", "")


def _is_level(queue: str) -> bool:
    """Whether a broker's queue is one of the delay's; a user's queue may be called like one."""
    return ".queue." not in queue and _LEVEL.fullmatch(queue) is not None


def _queue_of(routing_key: str) -> str:
    """The broker keeps the routing key: a queue's name, after the digits of a delay if it had one."""
    words = routing_key.split(".")
    digits, rest = words[:DELAY_LEVELS], words[DELAY_LEVELS:]
    return ".".join(rest) if rest and set(digits) <= {"0", "1"} else routing_key


def _died_by_broker(headers: Mapping[str, object]) -> float | None:
    last = next(iter(_deaths(headers)), {})
    moment = last.get("time")
    stamp = getattr(moment, "timestamp", None)
    return float(stamp()) if stamp is not None else None


def _deaths(headers: Mapping[str, object]) -> list[dict[str, object]]:
    deaths = headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []


def _text(headers: Mapping[str, object], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _truth(headers: Mapping[str, object], name: str) -> bool | None:
    value = headers.get(name)
    return value if isinstance(value, bool) else None


def _last(text: str, size: int) -> str:
    """As much of the end of a text as fits into so many bytes."""
    return text.encode()[-size:].decode(errors="ignore")


def _first(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _number(headers: Mapping[str, object], name: str) -> int | None:
    value = headers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
