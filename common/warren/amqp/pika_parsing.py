"""The frames a busy connection receives, deliveries and confirms, read without pika's objects.

Pure functions over a frame's payload. What Warren never sends (a header's value other than a text, whole number or bool) is
pika's to decode.
"""

import struct
from functools import lru_cache

import pika.data

from warren.amqp.pika_frames import Flag
from warren.amqp.seam import Headers, Message

_CONFIRM = struct.Struct(">QB")
_CONTENT = struct.Struct(">QH")
_INT, _LONG, _SIZE, _TIMESTAMP = struct.Struct(">i"), struct.Struct(">q"), struct.Struct(">I"), struct.Struct(">Q")
_KIND_TEXT, _KIND_INT, _KIND_LONG, _KIND_BOOL = b"SIlt"


def method(data: bytes, at: int) -> int:
    """Return which method a method frame's payload is of: class and number in one."""
    return int.from_bytes(data[at : at + 4], "big")


def confirm(data: bytes, at: int) -> tuple[int, bool]:
    """Return the tag of an ack's or nack's payload, and whether it stands for all up to that."""
    tag, bits = _CONFIRM.unpack_from(data, at + 4)
    return tag, bool(bits & 1)


def deliver(data: bytes, at: int, end: int) -> tuple[bytes, int, bool, tuple[str, str]]:
    """Return the consumer's tag, the delivery's tag, whether it is a redelivery, and its exchange and routing key."""
    start = at + 5
    at = start + data[at + 4]
    tag, redelivered = _CONFIRM.unpack_from(data, at)
    return data[start:at], tag, bool(redelivered), _address(data[at + 9 : end])


def got(data: bytes, at: int, end: int) -> tuple[int, bool, tuple[str, str]]:
    """Return of a get-ok the delivery's tag, whether it is a redelivery, and its exchange and routing key."""
    tag, redelivered = _CONFIRM.unpack_from(data, at + 4)
    return tag, bool(redelivered), _address(data[at + 13 : end - 4])  # a count of what is left follows


@lru_cache(maxsize=1024)
def _address(data: bytes) -> tuple[str, str]:
    split = 1 + data[0]
    return data[1:split].decode(errors="replace"), data[split + 1 :].decode(errors="replace")


def body_size(data: bytes, at: int) -> int:
    """Return how many bytes the body has that a content header announces."""
    size: int = _CONTENT.unpack_from(data, at + 4)[0]
    return size


def message(data: bytes, at: int, body: bytes) -> Message:  # noqa: C901, PLR0912 - a flat list in AMQP's order
    """Return the message of a content header's payload and the body that followed it."""
    _, flags = _CONTENT.unpack_from(data, at + 4)
    at += 14
    content_type = correlation_id = reply_to = expiration = message_id = kind = app_id = None
    priority = timestamp = None
    headers: Headers = {}
    if flags & Flag.CONTENT_TYPE:
        content_type, at = _short(data, at)
    if flags & Flag.CONTENT_ENCODING:
        _, at = _short(data, at)
    if flags & Flag.HEADERS:
        headers, at = _table(data, at)
    if flags & Flag.MODE:
        at += 1
    if flags & Flag.PRIORITY:
        priority = data[at]
        at += 1
    if flags & Flag.CORRELATION:
        correlation_id, at = _short(data, at)
    if flags & Flag.REPLY_TO:
        reply_to, at = _short(data, at)
    if flags & Flag.EXPIRATION:
        expiration, at = _short(data, at)
    if flags & Flag.ID:
        message_id, at = _short(data, at)
    if flags & Flag.TIME:
        timestamp = _TIMESTAMP.unpack_from(data, at)[0]
        at += 8
    if flags & Flag.TYPE:
        kind, at = _short(data, at)
    if flags & Flag.USER:
        _, at = _short(data, at)
    if flags & Flag.APP:
        app_id, at = _short(data, at)
    lifetime = int(expiration) if expiration and expiration.isdigit() else None
    return Message(
        body, message_id, kind, content_type, priority, timestamp, lifetime, reply_to, correlation_id, app_id, headers
    )


def _short(data: bytes, at: int) -> tuple[str, int]:
    at += 1
    end = at + data[at - 1]
    return data[at:end].decode(errors="replace"), end


def _table(data: bytes, at: int) -> tuple[Headers, int]:
    start, headers = at, dict[str, object]()
    end = at + 4 + _SIZE.unpack_from(data, at)[0]
    at += 4
    while at < end:
        value_at = at + 2 + data[at]
        name = data[at + 1 : value_at - 1].decode(errors="replace")
        kind = data[value_at - 1]
        if kind == _KIND_TEXT:
            at = value_at + 4 + _SIZE.unpack_from(data, value_at)[0]
            try:
                headers[name] = data[value_at + 4 : at].decode()
            except UnicodeDecodeError:
                headers[name] = data[value_at + 4 : at]
        elif kind == _KIND_INT:
            headers[name], at = _INT.unpack_from(data, value_at)[0], value_at + 4
        elif kind == _KIND_LONG:
            headers[name], at = _LONG.unpack_from(data, value_at)[0], value_at + 8
        elif kind == _KIND_BOOL:
            headers[name], at = data[value_at] != 0, value_at + 1
        else:
            return _table_by_pika(data, start), end
    return headers, end


def _table_by_pika(data: bytes, at: int) -> Headers:
    table, _ = pika.data.decode_table(data, at)
    return {name.decode(errors="replace") if isinstance(name, bytes) else name: value for name, value in table.items()}
