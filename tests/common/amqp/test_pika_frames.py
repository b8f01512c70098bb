"""Our frames are pika's: what one writes the other reads."""

from typing import Any

import pika
import pika.frame
import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.amqp import pika_frames, pika_parsing
from warren.amqp.pika_frames import HEAD
from warren.amqp.seam import Copy, Form, Letter, Message, Settle

BASIC: Any = pika.spec.Basic
SHORT = st.text(max_size=60)
NUMBER = st.integers(-(2**63), 2**63 - 1)
PLAIN: st.SearchStrategy[Any] = st.text() | NUMBER | st.booleans()
ANY_VALUE: st.SearchStrategy[Any] = st.recursive(
    PLAIN | st.none() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
)
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=200),
    message_id=st.none() | SHORT,
    type=st.none() | SHORT,
    content_type=st.none() | SHORT,
    priority=st.none() | st.integers(0, 9),
    timestamp=st.none() | st.integers(0, 2**40),
    expiration=st.none() | st.integers(0, 2**40),
    reply_to=st.none() | SHORT,
    correlation_id=st.none() | SHORT,
    app_id=st.none() | SHORT,
    headers=st.dictionaries(SHORT, PLAIN, max_size=4) | st.dictionaries(SHORT, ANY_VALUE, max_size=4),
)


def frames(data: bytes) -> list[Any]:
    found = []
    while data:
        used, frame = pika.frame.decode_frame(data)
        assert used
        found.append(frame)
        data = data[used:]
    return found


def payloads(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = HEAD.unpack_from(data)[2]
        found.append(data[HEAD.size : HEAD.size + size])
        data = data[pika_frames.OVERHEAD + size :]
    return found


def properties(message: Message) -> pika.BasicProperties:
    return pika.BasicProperties(  # type: ignore[no-untyped-call]
        content_type=message.content_type,
        headers=dict(message.headers) or None,
        delivery_mode=2,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=None if message.expiration is None else str(message.expiration),
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


@given(MESSAGES, SHORT, SHORT, st.booleans())
def test_pika_reads_our_publish(message: Message, exchange: str, key: str, mandatory: bool) -> None:
    method, header, *bodies = frames(pika_frames.publish(7, exchange, key, [message], mandatory=mandatory, limit=64))
    assert {frame.channel_number for frame in (method, header, *bodies)} == {7}
    assert isinstance(method.method, BASIC.Publish)
    assert (method.method.exchange, method.method.routing_key, method.method.mandatory) == (exchange, key, mandatory)
    assert header.body_size == len(message.body)
    assert header.properties == properties(message)
    assert b"".join(body.fragment for body in bodies) == message.body
    assert all(len(body.fragment) <= 64 for body in bodies)


@given(MESSAGES)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    _, header, *bodies = payloads(pika_frames.publish(1, "", "", [message], mandatory=True, limit=64))
    assert pika_parsing.body_size(header, 0) == len(message.body)
    assert pika_parsing.message(header, 0, b"".join(bodies)) == message


@given(MESSAGES, SHORT, st.integers(0, 2**50), st.binary(max_size=200))
def test_a_form_filled_in_is_the_message_that_it_says(sample: Message, name: str, millis: int, body: bytes) -> None:
    copy = Copy(Form(sample, "warren-enqueued-at"), name, millis, body)
    _, header, *bodies = payloads(pika_frames.publish(1, "", "", [copy], mandatory=True, limit=64))
    assert pika_parsing.message(header, 0, b"".join(bodies)) == copy.message()
    assert (copy.message().message_id, copy.message().timestamp, copy.message().body) == (name, millis // 1000, body)


def test_publishes_to_one_address_are_their_frames_one_after_the_other() -> None:
    letters: list[Letter] = [Message(b"1"), Copy(Form(Message(b""), "at"), "id", 5, b"2"), Message(b"3")]
    singles = [pika_frames.publish(1, "e", "k", [letter], mandatory=True, limit=64) for letter in letters]
    assert pika_frames.publish(1, "e", "k", letters, mandatory=True, limit=64) == b"".join(singles)


@given(MESSAGES, st.text(max_size=20), st.text(max_size=20))
def test_a_message_is_read_as_pika_wrote_it(message: Message, encoding: str, user: str) -> None:
    had = properties(message)
    had.content_encoding, had.user_id, had.cluster_id = encoding, user, "somewhere"
    header = payloads(pika.frame.Header(3, len(message.body), had).marshal())[0]
    assert pika_parsing.message(header, 0, message.body) == message


@given(SHORT, st.integers(1, 2**63), st.booleans(), SHORT, SHORT)
def test_a_delivery_is_read_as_pika_writes_it(
    consumer: str, tag: int, redelivered: bool, exchange: str, key: str
) -> None:
    method = BASIC.Deliver(consumer, tag, redelivered, exchange, key)
    data = pika.frame.Method(3, method).marshal()
    assert pika_parsing.method(data, HEAD.size) == pika_frames.DELIVER
    read = pika_parsing.deliver(data, HEAD.size, len(data) - 1)
    assert read == (consumer.encode(), tag, redelivered, (exchange, key))


@given(st.integers(1, 2**63), st.booleans())
def test_a_confirm_is_read_as_pika_writes_it(tag: int, multiple: bool) -> None:
    for method, number in (
        (BASIC.Ack(tag, multiple), pika_frames.ACK),
        (BASIC.Nack(tag, multiple), pika_frames.NACK),
    ):
        data = pika.frame.Method(3, method).marshal()
        assert pika_parsing.method(data, HEAD.size) == number
        assert pika_parsing.confirm(data, HEAD.size) == (tag, multiple)


@pytest.mark.parametrize(
    ("how", "method"),
    [
        (Settle.ACK, BASIC.Ack(5)),
        (Settle.GIVE_BACK, BASIC.Nack(5, requeue=True)),
        (Settle.RETURN, BASIC.Reject(5, requeue=True)),
    ],
)
def test_settling_is_the_frame_that_pika_writes(how: Settle, method: Any) -> None:
    assert pika_frames.settle(9, 5, how) == pika.frame.Method(9, method).marshal()


def test_a_header_that_is_not_utf8_is_handed_over_as_bytes() -> None:
    had = pika.BasicProperties(headers={"name": "abc"})  # type: ignore[no-untyped-call]
    header = payloads(pika.frame.Header(1, 0, had).marshal())[0].replace(b"abc", b"\xff\xfe\xfd")
    assert pika_parsing.message(header, 0, b"").headers == {"name": b"\xff\xfe\xfd"}


def test_what_amqp_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        pika_frames.publish(1, "", "é" * 128, [Message(b"")], mandatory=True, limit=64)
    with pytest.raises(ValueError, match="255 bytes"):
        pika_frames.publish(1, "", "", [Copy(Form(Message(b""), "at"), "é" * 128, 0, b"")], mandatory=True, limit=64)
