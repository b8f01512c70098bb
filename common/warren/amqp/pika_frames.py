"""The frames a busy connection sends, publishes and settles, written without pika's objects.

Pure functions. pika builds several objects for each frame, which is most of a message's cost; a header's value other than
a text, whole number or bool is still pika's to encode.
"""

import functools
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pika.data
from msgspec.structs import replace

from warren.amqp.seam import Copy, Form, Letter, Message, Settle

METHOD, HEADER, BODY = 1, 2, 3
"""Kinds of frames."""
END = 0xCE
HEAD = struct.Struct(">BHI")
"""What every frame begins with: its kind, its channel, its payload's size."""
OVERHEAD = HEAD.size + 1
PUBLISH, DELIVER = 60 << 16 | 40, 60 << 16 | 60
GET, GET_OK, GET_EMPTY = 60 << 16 | 70, 60 << 16 | 71, 60 << 16 | 72
ACK, NACK, REJECT = 60 << 16 | 80, 60 << 16 | 120, 60 << 16 | 90


class Flag:
    """Which properties a content header has; plain numbers, as an enum's operators are slow."""

    CONTENT_TYPE, CONTENT_ENCODING, HEADERS, MODE, PRIORITY, CORRELATION, REPLY_TO = (
        1 << bit for bit in range(15, 8, -1)
    )
    EXPIRATION, ID, TIME, TYPE, USER, APP, CLUSTER, _, MORE = (1 << bit for bit in range(8, -1, -1))


_SETTLE = struct.Struct(">BHIIQBB")
_SETTLING = {Settle.ACK: (ACK, 0), Settle.GIVE_BACK: (NACK, 0b10), Settle.RETURN: (REJECT, 1)}
"""Method and its bits: of a nack the second is `requeue`, of a reject the first. Else the first is `multiple`."""
_CONTENT_FRAME = struct.Struct(">BHIHHQH")
_INT, _LONG, _SIZE, _TIMESTAMP = struct.Struct(">ci"), struct.Struct(">cq"), struct.Struct(">I"), struct.Struct(">Q")
_INT_LIMIT, _LONG_LIMIT = 1 << 31, 1 << 63
_SHORT_LIMIT = 255
_BLANK_LONG, _BLANK_TIME = (1 << 63) - 1, (1 << 64) - 2
_END = bytes((END,))
_PERSISTENT = b"\x02"


def settle(channel: int, tag: int, how: Settle, *, multiple: bool = False) -> bytes:
    """Return the frame that settles one delivery, and with `multiple` all before it that are not settled."""
    method, bits = _SETTLING[how]
    return _SETTLE.pack(METHOD, channel, 13, method, tag, bits | multiple, END)


@functools.lru_cache(maxsize=1024)
def get(channel: int, queue: str) -> bytes:
    """Return the frame that asks for a queue's next message, which is to be settled.

    Raises:
        ValueError: a name above 255 bytes.
    """
    payload = struct.pack(">IH", GET, 0) + _short(queue) + b"\0"
    return HEAD.pack(METHOD, channel, len(payload)) + payload + _END


def publish(
    channel: int, exchange: str, routing_key: str, letters: Sequence[Letter], *, mandatory: bool, limit: int
) -> bytes:
    """Return the frames of publishes to one address.

    Args:
        channel: its number.
        exchange: its name.
        routing_key: as it is.
        letters: always sent persistent.
        mandatory: whether they shall come back when no queue takes them.
        limit: bytes of a body that fit into one frame.

    Raises:
        ValueError: a name or a short property above 255 bytes.
    """
    method = _publish_method(channel, exchange, routing_key, mandatory)
    pieces: list[bytes] = []
    for letter in letters:
        body = letter.body
        flags, properties = _filled_in(letter) if type(letter) is Copy else _properties(letter)  # type: ignore[arg-type]
        size = len(properties)
        pieces += (method, _CONTENT_FRAME.pack(HEADER, channel, 14 + size, 60, 0, len(body), flags), properties, _END)
        for start in range(0, len(body), limit):
            part = body[start : start + limit]
            pieces += (HEAD.pack(BODY, channel, len(part)), part, _END)
    return b"".join(pieces)


class _Blanks(NamedTuple):
    flags: int
    before: bytes
    """Up to the time in the header."""
    between: bytes
    after: bytes
    """What follows the id and the time."""


def _filled_in(copy: Copy) -> tuple[int, bytes]:
    flags, before, between, after = _blanks(copy.form)
    name, millis = copy.message_id.encode(), copy.millis
    if len(name) > _SHORT_LIMIT:
        raise ValueError(
            f"a message's id has at most {_SHORT_LIMIT} bytes, and {copy.message_id[:40]!r}... has {len(name)}"
        )
    seconds = _TIMESTAMP.pack(millis // 1000)
    return flags, b"%b%b%b%c%b%b%b" % (before, _TIMESTAMP.pack(millis), between, len(name), name, seconds, after)


@functools.lru_cache(maxsize=256)
def _blanks(form: Form) -> _Blanks:
    """Cut a form where something is to be filled in: at bytes that no text can have, and after them come only texts."""
    sample = form.sample
    headers = {name: value for name, value in sample.headers.items() if name != form.stamp}
    headers[form.stamp] = _BLANK_LONG  # the last one
    flags, written = _properties(replace(sample, headers=headers, message_id=None, timestamp=_BLANK_TIME))
    rest, _, after = written.rpartition(_TIMESTAMP.pack(_BLANK_TIME))
    before, _, between = rest.rpartition(_TIMESTAMP.pack(_BLANK_LONG))
    return _Blanks(flags | Flag.ID, before, between, after)


@functools.lru_cache(maxsize=1024)
def _publish_method(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    payload = struct.pack(">IH", PUBLISH, 0) + _short(exchange) + _short(routing_key) + bytes((mandatory,))
    return HEAD.pack(METHOD, channel, len(payload)) + payload + _END


def _properties(message: Message) -> tuple[int, bytes]:  # noqa: C901 - a flat list in AMQP's order
    flags, pieces = Flag.MODE, list[bytes]()
    if message.content_type is not None:
        flags |= Flag.CONTENT_TYPE
        pieces.append(_common(message.content_type))
    if message.headers:
        flags |= Flag.HEADERS
        pieces.append(_table(message.headers))
    pieces.append(_PERSISTENT)
    if message.priority is not None:
        flags |= Flag.PRIORITY
        pieces.append(bytes((message.priority,)))
    if message.correlation_id is not None:
        flags |= Flag.CORRELATION
        pieces.append(_short(message.correlation_id))
    if message.reply_to is not None:
        flags |= Flag.REPLY_TO
        pieces.append(_common(message.reply_to))
    if message.expiration is not None:
        flags |= Flag.EXPIRATION
        pieces.append(_short(str(message.expiration)))
    if message.message_id is not None:
        flags |= Flag.ID
        pieces.append(_short(message.message_id))
    if message.timestamp is not None:
        flags |= Flag.TIME
        pieces.append(_TIMESTAMP.pack(message.timestamp))
    if message.type is not None:
        flags |= Flag.TYPE
        pieces.append(_common(message.type))
    if message.app_id is not None:
        flags |= Flag.APP
        pieces.append(_common(message.app_id))
    return flags, b"".join(pieces)


def _table(headers: Mapping[str, object]) -> bytes:
    pieces: list[bytes] = []
    for name, value in headers.items():
        kind = type(value)
        pieces.append(_common(name))
        if kind is str:
            data = value.encode()  # type: ignore[attr-defined]
            pieces += (b"S", _SIZE.pack(len(data)), data)
        elif kind is bool:
            pieces.append(b"t\x01" if value else b"t\x00")
        elif kind is int and -_INT_LIMIT <= value < _INT_LIMIT:  # type: ignore[operator]
            pieces.append(_INT.pack(b"I", value))
        elif kind is int and -_LONG_LIMIT <= value < _LONG_LIMIT:  # type: ignore[operator]
            pieces.append(_LONG.pack(b"l", value))
        else:
            rest: list[bytes] = []
            pika.data.encode_table(rest, dict(headers))
            return b"".join(rest)
    data = b"".join(pieces)
    return _SIZE.pack(len(data)) + data


def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > _SHORT_LIMIT:
        raise ValueError(f"AMQP allows {_SHORT_LIMIT} bytes here, and {text[:40]!r}... has {len(data)}")
    return bytes((len(data),)) + data


_common = functools.lru_cache(maxsize=1024)(_short)
"""For texts that are the same in many messages."""
