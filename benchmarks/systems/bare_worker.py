"""`python -m benchmarks.systems.bare_worker`: consumes with pika's AsyncioConnection and acknowledges at once."""

import json
import time
from typing import Any

import pika
from benchmarks.marks import Marks
from benchmarks.site import Site
from benchmarks.systems.bare import Bare
from pika.adapters.asyncio_connection import AsyncioConnection


class Consumer:
    """As many consumers of prefetch 1 on one channel as a worker would have processes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._marks = Marks(site.folder)
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
        for _ in range(self._site.processes):
            channel.basic_consume(self._queue, self._delivered)

    def _delivered(self, channel: Any, method: Any, _properties: object, body: bytes) -> None:
        if body.startswith(b'{"task": "late"'):
            self._marks.note(time.time() - json.loads(body)["args"][0])
        channel.basic_ack(method.delivery_tag)
        self._marks.count()


if __name__ == "__main__":
    Consumer(Site.here()).run()
