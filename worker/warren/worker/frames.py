"""What the parent and a pool process say to each other over one socket pair: length-prefixed msgpack, frozen values.

Only names, JSON and numbers travel, never code or pickled objects.
"""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from warren.limits import Limits
from warren.outcome import Outcome

_LENGTH = struct.Struct("!I")


class TaskInfo(msgspec.Struct, frozen=True):
    """What the parent must know of a task without importing its code."""

    name: str
    queue: str
    max_crashes: int
    kill_after: float | None


class Run(msgspec.Struct, frozen=True, tag="run"):
    """To a process: run this job, or these items of it.

    `waited` is the time since the job was first ready, for policies that stop after a while; `places` are the items' places.
    """

    job_id: str
    task: str
    queue: str
    attempt: int
    failures: int
    last_error: str
    elapsed: float
    body: bytes
    items: list[bytes] | None = None
    places: list[int] | None = None
    limits: Limits | None = None


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """To a process: end now; sent when it is idle."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From a process: the modules are imported, these are their tasks."""

    tasks: list[TaskInfo]


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """From a process: the modules cannot be imported; it ends."""

    error: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """From a process: the job, or the item at this place, has its outcome; `last` when the process is free again."""

    outcome: Outcome
    seconds: float
    place: int | None = None
    last: bool = True


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """From a process: the running job says how far it is."""

    done: int
    total: int | None = None


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """From a process: what the task's own metrics counted since the last time."""

    families: list["Family"]


class Family(msgspec.Struct, frozen=True):
    """One metric: its samples are differences for counters and histograms, values for gauges."""

    name: str
    kind: str
    text: str
    samples: list[tuple[str, dict[str, str], float]]


ToProcess = Run | Stop
FromProcess = Ready | Broken | Ended | Progress | Counted


def pack(message: ToProcess | FromProcess) -> bytes:
    """Return a message as a frame."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Cuts a stream of bytes into messages."""

    def __init__(self, kind: Any) -> None:
        self._decode: Callable[[bytes | memoryview], Any] = msgspec.msgpack.Decoder(kind).decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes, return the messages that are complete now."""
        self._buffer += data
        messages, start = [], 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(self._decode(bytes(self._buffer[start + _LENGTH.size : end])))
            start = end
        del self._buffer[:start]
        return messages
