"""What one worker, or each, can be told to do with itself, and what it answers; said over `warren.control`, to those that live."""

import msgspec

from warren.status import RunningJob

STACKS_CHARACTERS = 32_768
"""Of one process in an answer: with 128 of them it still fits into one message."""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Take no more jobs and end, as after SIGTERM; a worker that does already is not hurried by it."""


class Draining(msgspec.Struct, frozen=True):
    """To `Drain`: so many jobs run and have so many seconds; `already` when it was about to end before."""

    running: int
    grace: float
    already: bool


class TellStacks(msgspec.Struct, frozen=True, tag="stacks"):
    """Tell where the code of every pool process is just now."""


class ProcessStacks(msgspec.Struct, frozen=True):
    """The Python stacks of one process; `text` is empty when it did not answer."""

    slot: int
    pid: int
    jobs: tuple[RunningJob, ...]
    text: str


class Stacks(msgspec.Struct, frozen=True):
    """To `TellStacks`."""

    processes: tuple[ProcessStacks, ...]


Steer = Drain | TellStacks
