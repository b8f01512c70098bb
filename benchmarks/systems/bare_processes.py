"""`python -m benchmarks.systems.bare_processes`: as the bare consumer, with a process behind each consumer that runs its jobs.

The least that a job queue with processes can do: one byte to the process, one byte back, then the ack.
"""

import asyncio
import json
import os
import socket
from functools import partial
from typing import Any

import pika
from benchmarks.jobs import work
from benchmarks.pool import SPIN_SECONDS
from benchmarks.site import Site
from benchmarks.systems.bare import Bare
from pika.adapters.asyncio_connection import AsyncioConnection

_NOTHING, _SPIN, _DONE = b"n", b"s", b"d"


class Consumers:
    """Consumers of prefetch 1 on one channel, each with the socket of its process."""

    def __init__(self, site: Site, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._queue = Bare(site).queue()
        self._connection = AsyncioConnection(pika.URLParameters(site.url), on_open_callback=self._connected)

    def run(self) -> None:
        """Consume until killed."""
        self._connection.ioloop.run_forever()

    def _connected(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        channel.basic_qos(prefetch_count=1, callback=lambda _frame: self._consume(channel))

    def _consume(self, channel: Any) -> None:
        for each in self._sockets:
            channel.basic_consume(self._queue, partial(self._delivered, each))

    def _delivered(self, process: socket.socket, channel: Any, method: Any, _properties: object, body: bytes) -> None:
        process.send(_SPIN if json.loads(body)["task"] == "spin" else _NOTHING)
        loop = asyncio.get_running_loop()
        loop.add_reader(process.fileno(), self._ended, process, channel, method.delivery_tag)

    def _ended(self, process: socket.socket, channel: Any, tag: int) -> None:
        process.recv(len(_DONE))
        channel.basic_ack(tag)


def _process(seconds: float) -> socket.socket:
    """Fork a process that runs what it is told to, until the other end is gone."""
    ours, its = socket.socketpair()
    if os.fork():
        its.close()
        return ours
    ours.close()
    while job := its.recv(1):
        if job == _SPIN:
            work.spin(seconds)
        else:
            work.nothing("")
        its.send(_DONE)
    os._exit(0)


if __name__ == "__main__":
    here = Site.here()
    processes = [_process(SPIN_SECONDS) for _ in range(here.processes)]
    Consumers(here, processes).run()
