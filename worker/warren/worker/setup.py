"""What a pool process is told when it begins; apart from its code, which its parent does not load."""

import signal

import msgspec

INTERRUPT = signal.SIGUSR1
"""Sent to a process whose plain job is to be cancelled."""


class Setup(msgspec.Struct, frozen=True):
    """The worker's settings, as far as they are a process's."""

    modules: tuple[str, ...]
    path: list[str]
    log_level: str
    log_format: str
    start_method: str
    coroutines: int = 1
    prepare: bool = False
    """Whether the nursery imports the modules and runs their `warren_init` before it forks."""
