"""The messages of workers' events."""

import msgspec

from warren import telling
from warren.amqp.seam import Message
from warren.telling import Began, Finished

NEWS = (Began(id="a", at=1.5, task="m:f", queue="q", attempt=1), Finished(id="a", at=2.5, outcome="retry", seconds=1.0))


def test_what_is_written_is_read() -> None:
    message = telling.to_message("w", NEWS, 3.0)
    assert message.type == "events"
    bulletin = telling.from_message(message)
    assert bulletin is not None
    assert (bulletin.worker, bulletin.events) == ("w", NEWS)


def test_what_is_of_a_later_version_is_left_out() -> None:
    body = {"worker": "w", "events": [{"type": "danced", "id": "a"}, {"type": "started", "id": "b", "at": 1, "new": 1}]}
    bulletin = telling.from_message(Message(msgspec.json.encode(body)))
    assert bulletin is not None
    assert bulletin.events == (Began(id="b", at=1.0),)


def test_what_is_none_is_none() -> None:
    assert telling.from_message(Message(b"{}")) is None
    assert telling.from_message(Message(b"\xff")) is None
