"""Events of a recorder and of the store it writes."""

import msgspec


class BatchRecorded(msgspec.Struct, frozen=True):
    """A recorder has written what so many messages tell, in one transaction."""

    messages: int
    facts: int
    seconds: float


class NotRecorded(msgspec.Struct, frozen=True):
    """Messages of the history stream, or of schedules' ends, were not understood, or the store does not take them; they are skipped."""

    messages: int
    reason: str


class HistoryDropped(msgspec.Struct, frozen=True):
    """The stream had dropped so many messages before they were recorded: what they told is not in the store."""

    messages: int


class BacklogKept(msgspec.Struct, frozen=True):
    """A recorder was told how large its stream shall be, and the stream is there with another size: it stays as it is."""

    stream: str
    wanted: int


class StoreBack(msgspec.Struct, frozen=True):
    """The store can be used again."""


HistoryEvent = BatchRecorded | NotRecorded | HistoryDropped | BacklogKept | StoreBack
