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
    is_coroutine: bool = False


class Unit(msgspec.Struct, frozen=True, array_like=True):
    """Some items of a chunk; the process may end it early and leave the rest of them undone.

    Attributes:
        number: tells it from the units this process had before.
        places: the items' places in the chunk.
        items: as one JSON array.
    """

    number: int
    places: list[int]
    items: bytes


class Run(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """To a process: run this job, or a unit of its items; `elapsed` is the time since it was first ready, for its policy."""

    job_id: str
    task: str
    queue: str
    attempt: int
    failures: int
    last_error: str
    elapsed: float
    body: bytes
    unit: Unit | None = None
    limits: Limits | None = None
    deadline: float | None = None
    replays: int = 0


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """To a process: end now; sent when it is idle."""


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    """To a process that is idle: nothing; whether it takes its turn shows that it lives."""


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """To a process's event loop: run this job beside the others; `number` is what both call it."""

    number: int
    run: Run


class Interrupt(msgspec.Struct, frozen=True, array_like=True, tag="interrupt"):
    """To a process's event loop: cancel this job, and why."""

    number: int
    why: str


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """To a process's event loop: say what each job there waits for."""

    question: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """From a process: the modules are imported, these are their tasks."""

    tasks: list[TaskInfo]


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="broken"):
    """From a process: the modules cannot be imported; it ends."""

    error: str


class Unprepared(msgspec.Struct, frozen=True, array_like=True, tag="unprepared"):
    """From a process: its modules have functions that are to run before it is forked; it ends."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Which items of which unit something is said of: `count` of them after those `told` before."""

    unit: int
    told: int
    count: int


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """From a process: the job, or a part of a unit, has its outcome; `last` when the process is free again.

    The items of a part of several are all done; the result of a part that is done holds a JSON object's members, the items'
    values by place, each with a comma after it.
    """

    outcome: Outcome
    seconds: float
    part: Part | None = None
    last: bool = True


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="progress"):
    """From a process: the running job says how far it is."""

    done: int
    total: int | None = None


class Said(msgspec.Struct, frozen=True, array_like=True, tag="said"):
    """From a process's event loop: what one of its jobs says."""

    number: int
    what: Ended | Progress


class Chains(msgspec.Struct, frozen=True, array_like=True, tag="chains"):
    """From a process's event loop: the await chain of each job, by its number."""

    question: int
    texts: dict[int, str]


class Counted(msgspec.Struct, frozen=True, array_like=True, tag="counted"):
    """From a process: what the task's own metrics counted since the last time."""

    families: list["Family"]


class Family(msgspec.Struct, frozen=True):
    """One metric: its samples are differences for counters and histograms, values for gauges."""

    name: str
    kind: str
    text: str
    samples: list[tuple[str, dict[str, str], float]]


ToProcess = Run | Stop | Ping
FromProcess = Ready | Broken | Unprepared | Ended | Progress | Counted
ToLoop = Begin | Interrupt | Ask
FromLoop = Said | Counted | Chains


def encode(message: ToProcess | ToLoop) -> bytes:
    """Return what a process is told, for a frame that `frame` makes."""
    return msgspec.msgpack.encode(message)


def frame(body: bytes) -> bytes:
    """Return a frame."""
    return _LENGTH.pack(len(body)) + body


def pack(message: FromProcess | FromLoop) -> bytes:
    """Return what a process says as a frame."""
    return frame(msgspec.msgpack.encode(message))


class Cutter:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = _LENGTH.size
        """Bytes until the first frame in the buffer can be complete: nobody looks before."""

    def feed(self, data: bytes) -> list[memoryview]:
        """Take bytes, return the bodies that are complete now."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        bodies, start, view = [], 0, memoryview(data)
        while (left := len(data) - start) >= _LENGTH.size:
            self._needed = _LENGTH.size + _LENGTH.unpack_from(data, start)[0]
            if left < self._needed:
                break
            bodies.append(view[start + _LENGTH.size : start + self._needed])
            start += self._needed
            self._needed = _LENGTH.size
        self._buffer += view[start:]
        return bodies


class Unpacker:
    """Cuts a stream of bytes into messages."""

    def __init__(self, kind: Any) -> None:
        self._decode: Callable[[bytes | memoryview], Any] = msgspec.msgpack.Decoder(kind).decode
        self._cutter = Cutter()

    def feed(self, data: bytes) -> list[Any]:
        """Take bytes, return the messages that are complete now."""
        return [self._decode(body) for body in self._cutter.feed(data)]
