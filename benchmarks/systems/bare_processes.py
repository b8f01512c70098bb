"""`python -m benchmarks.systems.bare_processes`: as the bare consumer, with a process behind each consumer that runs its jobs.

The least that a job queue with processes can do: one byte to the process, one byte back, then the ack.
"""

import asyncio
import json
import os
import socket
from functools import partial
from typing import Any

from benchmarks.jobs import work
from benchmarks.pool import SPIN_SECONDS
from benchmarks.site import Site
from benchmarks.systems.bare_worker import Consumers

_NOTHING, _SPIN, _DONE = b"n", b"s", b"d"


def _delivered(process: socket.socket, channel: Any, method: Any, _properties: object, body: bytes) -> None:
    process.send(_SPIN if json.loads(body)["task"] == "spin" else _NOTHING)
    loop = asyncio.get_running_loop()
    loop.add_reader(process.fileno(), _ended, process, channel, method.delivery_tag)


def _ended(process: socket.socket, channel: Any, tag: int) -> None:
    process.recv(len(_DONE))
    channel.basic_ack(tag)


def _process() -> socket.socket:
    """Fork a process that runs what it is told to, until the other end is gone."""
    ours, its = socket.socketpair()
    if os.fork():
        its.close()
        return ours
    ours.close()
    while job := its.recv(1):
        if job == _SPIN:
            work.spin(SPIN_SECONDS)
        else:
            work.nothing("")
        its.send(_DONE)
    os._exit(0)


if __name__ == "__main__":
    here = Site.here()
    Consumers(here, [partial(_delivered, _process()) for _ in range(here.processes)]).run()
