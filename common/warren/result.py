"""A result's message: what a job came to, published once for whoever waits and whoever keeps history."""

from collections.abc import Sequence

import msgspec

from warren.amqp.seam import Message
from warren.job import APP_ID, CONTENT_TYPE, NODE, WORKFLOW, Job, new_id
from warren.states import JobState

NOBODY = "-"
"""Routing key of a result that nobody in particular waits for; history still gets it."""
EVERYBODY = "all"
"""Routing key of what every producer hears that waits for results."""


class ItemFailure(msgspec.Struct, frozen=True):
    """Why one item of a chunk failed for good."""

    error: str
    error_type: str = ""
    traceback: str = ""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is published about a job.

    For a chunk, `items` and `failed` hold what is new, by place; `state` stays `running` until no item is left.
    `started_at` of this attempt, 0 where it never began; `replays` tells the lives of a job that was replayed apart.
    """

    id: str
    task: str
    queue: str
    state: JobState
    attempt: int
    finished_at: float
    worker: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""
    error: str = ""
    error_type: str = ""
    traceback: str = ""
    items: dict[int, msgspec.Raw] | None = None
    failed: dict[int, ItemFailure] | None = None
    started_at: float = 0.0
    replays: int = 0


def to_message(result: Result, job: Job, items: bytes | None = None) -> tuple[Message, str]:
    """Return the message of a result and its routing key.

    Args:
        result: what is told.
        job: what it is told of.
        items: of a chunk, the member `items` when it is written as JSON already; it would cost much to take it apart and write it anew.
    """
    body = msgspec.json.encode(result)
    message = Message(
        body=body if items is None else b'%b,"items":%b}' % (body[:-1], items),
        message_id=new_id(result.finished_at),
        correlation_id=job.id,
        type=result.state.value,
        content_type=CONTENT_TYPE,
        timestamp=int(result.finished_at),
        app_id=APP_ID,
        headers=_headers(job),
    )
    return message, job.reply_to or NOBODY


class Unheld(msgspec.Struct, frozen=True, tag="unheld"):
    """Jobs were cancelled of which whoever did that knows nothing; no worker that answered runs them.

    It is no result. But a producer that enqueued one of them, and has no result of it, knows that it waits and will not run.
    """

    ids: tuple[str, ...]
    reason: str


def unheld_message(ids: Sequence[str], reason: str, now: float) -> tuple[Message, str]:
    """Return the message for producers that may know more of these jobs, and its routing key."""
    body = msgspec.json.encode(Unheld(tuple(ids), reason))
    return Message(
        body, message_id=new_id(now), type="unheld", content_type=CONTENT_TYPE, timestamp=int(now), app_id=APP_ID
    ), EVERYBODY


def unheld_of(message: Message) -> Unheld | None:
    """Read such a message; None for one that is none."""
    try:
        return _UNHELD.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def from_message(message: Message) -> Result | None:
    """Read a result; None for a message that is none."""
    try:
        return _RESULT.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return None


def _headers(job: Job) -> dict[str, object]:
    foreign = job.foreign
    headers = {name: foreign[name] for name in ("traceparent", "tracestate") if name in foreign}
    if job.workflow:
        headers |= {WORKFLOW: job.workflow, NODE: job.node}
    return headers


_RESULT = msgspec.json.Decoder(Result)
_UNHELD = msgspec.json.Decoder(Unheld)
