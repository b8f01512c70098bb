"""Signal handlers that use the producer, in the very thread that reads its confirms."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import pytest
from tests.producer.hands import double, silent
from tests.producer.test_threads import reads
from tests.support import Broker, eventually

from warren import errors
from warren.amqp import pika_reading
from warren.amqp.pika_stream import Stream
from warren.producer import Producer

pytestmark = pytest.mark.skipif(not pika_reading.POSSIBLE, reason="needs epoll")


@pytest.fixture
def producer(broker: Broker, namespace: str) -> Iterator[Producer]:
    with Producer(url=broker.url, namespace=namespace, publish_timeout=8) as made:
        reads(made)
        yield made


def interrupted(producer: Producer, handler: Callable[[], object], patch: pytest.MonkeyPatch) -> float:
    """Enqueue, and run a handler in this thread while it waits for the confirm; return how long all took.

    What is enqueued is sent with what comes after it, or when the handler ends.
    """
    reading, late = reads(producer), list[bytes]()
    write, write_now = Stream.write, Stream.write_now
    thread, stream = threading.get_ident(), reading._stream

    def keep(_: Stream, data: bytes) -> None:
        patch.setattr(Stream, "write_now", lambda to, data: write_now(to, kept() + data))
        late.append(data)

    def kept() -> bytes:
        return late.pop() if late else b""

    def handle(*_: object) -> None:
        handler()
        with suppress(RuntimeError):  # the loop has ended
            stream._loop.call_soon_threadsafe(Stream.write, stream, b"")

    def knock() -> None:
        eventually(reading._lock.locked, 10, "it reads")
        signal.pthread_kill(thread, signal.SIGALRM)

    before, knocking = signal.signal(signal.SIGALRM, handle), threading.Thread(target=knock)
    patch.setattr(Stream, "write_now", keep)
    patch.setattr(Stream, "write", lambda to, data: write(to, kept() + data))
    started = time.monotonic()
    try:
        knocking.start()
        producer.enqueue(silent, "outer")
    finally:
        knocking.join()
        signal.signal(signal.SIGALRM, before)
    return time.monotonic() - started


def test_a_signal_handler_may_enqueue(
    producer: Producer, broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = producer._host.client._link.session
    assert interrupted(producer, lambda: producer.enqueue(silent, "inner"), monkeypatch) < 5
    assert producer._host.client._link.session is before


def test_a_signal_handler_may_enqueue_to_a_queue_that_is_not_declared_yet(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = silent.options(queue="new")
    assert interrupted(producer, lambda: producer.enqueue(inner, "inner"), monkeypatch) < 5


def test_a_signal_handler_may_wait_for_a_result(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = producer.enqueue(double, 1)

    def ask() -> None:
        assert producer.find(handle.id) is None
        with pytest.raises(errors.ResultTimeout):
            handle.result(timeout=0.1)

    assert interrupted(producer, ask, monkeypatch) < 5


def test_a_signal_handler_may_close_the_producer(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    with pytest.raises((errors.WrongUse, CancelledError, errors.PublishError)):
        interrupted(producer, producer.close, monkeypatch)
    assert time.monotonic() - started < 5


def test_a_signal_handler_that_joins_a_thread_does_not_keep_its_confirm_from_it(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueued: list[Any] = []

    def join() -> None:
        other = threading.Thread(target=lambda: enqueued.append(producer.enqueue(silent, "inner")))
        other.start()
        other.join()

    assert interrupted(producer, join, monkeypatch) < 6
    assert enqueued
