"""What the jobs do, the same plain functions for every system."""

import functools
import os
import time

from benchmarks.gate import Gate
from benchmarks.marks import Marks
from benchmarks.site import Site

PAYLOAD = "x" * 100


@functools.cache
def _marks() -> Marks:
    return Marks(Site.here().folder)


@functools.cache
def _gate(_pid: int) -> Gate:
    return Gate(Site.here().folder)


def nothing(_payload: str) -> None:
    """Take a hundred bytes and do nothing with them."""
    _marks().count()


def gated(_payload: str) -> None:
    """Do nothing as soon as the gate is open."""
    _gate(os.getpid()).wait()
    _marks().count()


def late(sent: float, _payload: str) -> None:
    """Note how long it took from before the enqueuing to this line; one machine, one clock."""
    now = time.time()
    _marks().note(now - sent)
    _marks().count()


def spin(seconds: float) -> None:
    """Use this much CPU time: what a neighbour takes from the job is not counted as the job's work."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    _marks().count()


def count() -> None:
    """Say that a job has run."""
    _marks().count()


def square(number: int) -> int:
    return number * number
