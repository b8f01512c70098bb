"""What is said to whoever conducts workflows: messages of `<namespace>.workflows`, described in docs/protocol.md.

Their routing key is `warren.topology.WORKFLOWS`.
"""

from typing import Annotated

import msgspec

from warren.amqp.seam import Message
from warren.errors import InvalidWorkflow
from warren.job import APP_ID, CONTENT_TYPE, new_id
from warren.workflow.graph import MAX_BYTES, MAX_CHUNKS, Definition


class Submit(msgspec.Struct, frozen=True, tag="submit", forbid_unknown_fields=True):
    """Begin a workflow; saying it twice is saying it once."""

    workflow: Definition


class Cancel(msgspec.Struct, frozen=True, tag="cancel", forbid_unknown_fields=True):
    """Cancel a workflow as a whole: what waits does not begin, what is enqueued or runs is cancelled."""

    id: str
    at: float
    reason: str = "cancelled"


class Retry(msgspec.Struct, frozen=True, tag="retry", forbid_unknown_fields=True):
    """Try what is not done again, of a workflow that has ended."""

    id: str
    at: float


class MapEnd(msgspec.Struct, frozen=True, tag="map_end", forbid_unknown_fields=True):
    """All chunks of a map are enqueued; `chunks` says how many, `items` how many all together."""

    id: str
    node: str
    chunks: Annotated[int, msgspec.Meta(ge=0, le=MAX_CHUNKS)]
    items: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    at: float


Request = Submit | Cancel | Retry | MapEnd


class NotARequest(Exception):
    """A message on the workflows' exchange that is none known here."""


def to_message(request: Request, now: float) -> Message:
    """Return a request's message.

    Raises:
        InvalidWorkflow: the definition is too large.
    """
    body = msgspec.json.encode(request)
    if isinstance(request, Submit) and len(body) > MAX_BYTES:
        raise InvalidWorkflow(
            request.workflow.name,
            f"it is {len(body):,} bytes and the limit is {MAX_BYTES:,}: pass paths or URLs instead of the data",
        )
    return Message(
        body,
        message_id=new_id(now),
        correlation_id=request.workflow.id if isinstance(request, Submit) else request.id,
        type=str(request.__struct_config__.tag),
        content_type=CONTENT_TYPE,
        timestamp=int(now),
        app_id=APP_ID,
    )


def from_message(message: Message) -> Request:
    """Read a request; the graph of a `Submit` is not checked (see `warren.workflow.graph.Graph.of`).

    Raises:
        NotARequest: it is none, or one of a later version.
    """
    if len(message.body) > MAX_BYTES:
        raise NotARequest(f"it is {len(message.body):,} bytes and the limit is {MAX_BYTES:,}")
    try:
        return _REQUEST.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NotARequest(f"a message of type {message.type!r:.60} is no request known here: {error}") from error


_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
