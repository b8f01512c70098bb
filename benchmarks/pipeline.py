"""The bare client at its best: pika's callback adapter, persistent messages, confirms that are not waited for one by one."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

import pika

Message = tuple[bytes, pika.BasicProperties]
_WINDOW = 500
"""Unconfirmed messages at a time, as many as Warren's `enqueue_many` puts into a batch."""


class PipelineFailed(Exception):
    """The broker closed the connection or refused a message."""


class Pipeline:
    """Publishes messages to one queue by the default exchange and returns when all are confirmed."""

    def __init__(self, url: str, queue: str, messages: Iterable[Message]) -> None:
        self._queue = queue
        self._messages: Iterator[Message] = iter(messages)
        self._unconfirmed: dict[int, None] = {}
        self._published = 0
        self._exhausted = False
        self._problem = ""
        self._connection = pika.SelectConnection(pika.URLParameters(url), self._connected, self._failed, self._closed)

    def run(self) -> int:
        """Publish everything; how many they were.

        Raises:
            PipelineFailed: not all of them are confirmed.
        """
        self._connection.ioloop.start()
        if self._problem:
            raise PipelineFailed(self._problem)
        return self._published

    def _connected(self, _connection: Any) -> None:
        self._connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirmed, callback=lambda _frame: self._fill())

    def _fill(self) -> None:
        while len(self._unconfirmed) < _WINDOW:
            message = next(self._messages, None)
            if message is None:
                self._exhausted = True
                break
            self._published += 1
            self._unconfirmed[self._published] = None
            self._channel.basic_publish("", self._queue, *message)
        if self._exhausted and not self._unconfirmed:
            self._connection.close()

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            self._problem = f"the broker refused message {tag}"
            self._connection.close()
            return
        if frame.method.multiple:
            for confirmed in list(takewhile(tag.__ge__, self._unconfirmed)):
                del self._unconfirmed[confirmed]
        else:
            self._unconfirmed.pop(tag, None)
        # In halves, so that frames leave in few system calls.
        if len(self._unconfirmed) <= _WINDOW // 2:
            self._fill()

    def _failed(self, _connection: Any, error: object) -> None:
        self._problem = f"no connection: {error}"
        self._connection.ioloop.stop()

    def _closed(self, _connection: Any, reason: object) -> None:
        if not (self._exhausted and not self._unconfirmed):
            self._problem = self._problem or f"the connection was closed: {reason}"
        self._connection.ioloop.stop()
