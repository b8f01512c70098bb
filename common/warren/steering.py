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


MOST_PROCESSES = 1000
"""That a worker can be told to have: more is a slip of the finger."""


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    """Have another number of processes, until the worker ends."""

    processes: int


class Resized(msgspec.Struct, frozen=True, omit_defaults=True):
    """To `Resize`: those too many leave when they have finished what they run. `refused` says why nothing is done."""

    before: int
    after: int
    refused: str = ""


class Recycle(msgspec.Struct, frozen=True, tag="recycle"):
    """Replace every process, each when it has finished what it runs."""


class Recycling(msgspec.Struct, frozen=True, omit_defaults=True):
    """To `Recycle`: so many are replaced. `refused` says why nothing is done."""

    processes: int
    refused: str = ""


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


Steer = Drain | Resize | Recycle | TellStacks
