"""`python -m benchmarks.systems.bare_worker`: consumes with pika's AsyncioConnection and acknowledges at once."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pika
from benchmarks.marks import Marks
from benchmarks.site import Site
from benchmarks.systems.bare import Bare
from pika.adapters.asyncio_connection import AsyncioConnection

Delivered = Callable[[Any, Any, object, bytes], None]


class Consumers:
    """Consumers of prefetch 1 on one channel.

    Args:
        site: whose queue.
        delivered: called with what comes by each, as pika does.
    """

    def __init__(self, site: Site, delivered: Sequence[Delivered]) -> None:
        self._delivered = delivered
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
        for each in self._delivered:
            channel.basic_consume(self._queue, each)


def acknowledging(marks: Marks) -> Delivered:
    """Return what acknowledges each message, and counts it."""

    def delivered(channel: Any, method: Any, _properties: object, body: bytes) -> None:
        if body.startswith(b'{"task": "late"'):
            marks.note(time.time() - json.loads(body)["args"][0])
        channel.basic_ack(method.delivery_tag)
        marks.count()

    return delivered


if __name__ == "__main__":
    here = Site.here()
    Consumers(here, [acknowledging(Marks(here.folder))] * here.processes).run()
