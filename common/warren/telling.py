"""What workers tell history of jobs besides results: the messages of the exchange `<namespace>.events`; pure.

One message has all that happened on a worker within a moment. Whoever reads ignores what it does not know.
"""

from collections.abc import Sequence

import msgspec

from warren.amqp.seam import Message
from warren.job import APP_ID, CONTENT_TYPE, new_id


class News(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What all of them say: which job, which attempt, and when, in seconds since the epoch by the worker's clock.

    `attempt` is 0 where it is not known; `replays` tells the lives of a job that was replayed apart.
    """

    id: str
    at: float
    task: str = ""
    queue: str = ""
    attempt: int = 0
    replays: int = 0


class Began(News, frozen=True, omit_defaults=True, kw_only=True, tag="started"):
    """An attempt began. Where it ends soon after, only its result says so."""


class Reached(News, frozen=True, omit_defaults=True, kw_only=True, tag="progress"):
    """A running job said how far it is."""

    done: int
    total: int | None = None


class Finished(News, frozen=True, omit_defaults=True, kw_only=True, tag="ended"):
    """An attempt ended that another follows, or of which no result is published; `outcome` as in `warren.outcome`."""

    outcome: str
    seconds: float
    detail: str = ""
    retry_in: float | None = None


class Refused(News, frozen=True, omit_defaults=True, kw_only=True, tag="refused"):
    """A job ended without having been run, and no result is published."""

    outcome: str
    reason: str = ""
    detail: str = ""


class Interrupted(News, frozen=True, omit_defaults=True, kw_only=True, tag="interrupted"):
    """A running job was given back; it runs again, uncharged."""


class Lost(News, frozen=True, omit_defaults=True, kw_only=True, tag="lost"):
    """A worker was lost with this job; it runs again, charged: `crashes` of all sorts so far."""

    crashes: int = 0


AnyNews = Began | Reached | Finished | Refused | Interrupted | Lost


class Bulletin(msgspec.Struct, frozen=True):
    """The body of such a message."""

    worker: str
    events: tuple[AnyNews, ...]


class _Read(msgspec.Struct, frozen=True):
    worker: str
    events: tuple[msgspec.Raw, ...]


TYPE = "events"


def to_message(worker: str, events: Sequence[AnyNews], now: float) -> Message:
    """Return the message of what happened on a worker."""
    return Message(
        msgspec.json.encode(Bulletin(worker, tuple(events))),
        message_id=new_id(now),
        type=TYPE,
        content_type=CONTENT_TYPE,
        timestamp=int(now),
        app_id=APP_ID,
    )


def from_message(message: Message) -> Bulletin | None:
    """Read such a message, without what is of a later version in it; None for a message that is none."""
    try:
        return _BULLETIN.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _known(message.body)


def _known(body: bytes) -> Bulletin | None:
    try:
        read = _READ.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return Bulletin(read.worker, tuple(news for raw in read.events if (news := _one(raw)) is not None))


def _one(raw: msgspec.Raw) -> AnyNews | None:
    try:
        return _NEWS.decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


_BULLETIN = msgspec.json.Decoder(Bulletin)
_READ = msgspec.json.Decoder(_Read)
_NEWS: msgspec.json.Decoder[AnyNews] = msgspec.json.Decoder(AnyNews)
