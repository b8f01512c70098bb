"""Many jobs out of one: a queue is filled with copies of a message that the system itself has sent, each with an id of its own.

So a backlog costs every system the same few seconds, however slowly its producer works, and what a worker reads is what
its own producer writes.
"""

import copy
import re
import uuid
from collections.abc import Iterator

import pika
from benchmarks.pipeline import Message

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")


def identity(properties: pika.BasicProperties, body: bytes) -> str:
    """Return the id of a recorded job, wherever its system keeps it; empty when it has none."""
    headers = properties.headers or {}
    places = (properties.message_id, properties.correlation_id, headers.get("task_id"), body.decode())
    for place in places:
        if place and (found := _ID.search(str(place))):
            return found[0]
    return ""


def copies(properties: pika.BasicProperties, body: bytes, number: int) -> Iterator[Message]:
    """Yield messages that differ from the recorded one in their id only."""
    old = identity(properties, body)
    for _ in range(number):
        if not old:
            yield body, properties
            continue
        new = str(uuid.uuid4()) if "-" in old else uuid.uuid4().hex
        yield body.replace(old.encode(), new.encode()), _renamed(properties, old, new)


def _renamed(properties: pika.BasicProperties, old: str, new: str) -> pika.BasicProperties:
    changed = copy.copy(properties)
    for name in ("message_id", "correlation_id"):
        if getattr(properties, name) == old:
            setattr(changed, name, new)
    if properties.headers:
        changed.headers = {key: new if value == old else value for key, value in properties.headers.items()}
    return changed
