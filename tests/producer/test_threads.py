"""Publishing from the calling thread, on a real connection: threads, signals and interrupts in the worst places."""

import signal
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from types import FrameType

import pika
import pytest
from tests.producer.hands import silent
from tests.support import Broker, eventually

from warren import errors
from warren.amqp.pika_stream import Stream
from warren.producer import Producer


def ready(broker: Broker, namespace: str, count: int) -> None:
    """Wait until the default queue has so many jobs, each enqueued once."""
    wire = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = wire.channel()
    name = f"{namespace}.queue.default"
    eventually(
        lambda: channel.queue_declare(name, passive=True).method.message_count == count, 20, f"{count} jobs are queued"
    )
    wire.close()


def test_threads_enqueue_at_the_same_time(broker: Broker, namespace: str) -> None:
    with Producer(url=broker.url, namespace=namespace) as producer, ThreadPoolExecutor(8) as threads:
        batch = threads.submit(producer.enqueue_many, [silent.call(str(number)) for number in range(1000)])
        handles = list(threads.map(lambda number: producer.enqueue(silent, str(number)), range(400)))
        assert len({handle.id for handle in [*handles, *batch.result()]}) == 1400
        ready(broker, namespace, 1400)


def test_a_publish_that_is_interrupted_between_its_number_and_its_sending_spoils_no_other(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Stream, __: bytes) -> None:
        raise KeyboardInterrupt

    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue(silent, "1")
        before = producer._host.client._link.session
        with monkeypatch.context() as patch:
            patch.setattr(Stream, "write_now", interrupted)
            with pytest.raises(KeyboardInterrupt):
                producer.enqueue(silent, "never sent")
        for number in range(20):
            producer.enqueue(silent, str(number))
        assert producer._host.client._link.session is not before
        ready(broker, namespace, 21)


def test_a_confirm_that_never_comes_is_told_at_the_deadline(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Producer(url=broker.url, namespace=namespace, publish_timeout=0.3) as producer:
        producer.enqueue(silent, "1")
        monkeypatch.setattr(Stream, "write_now", lambda *_: None)
        with pytest.raises(errors.BrokerUnavailable, match="it may still arrive") as unavailable:
            producer.enqueue(silent, "on its way for ever")
    assert unavailable.value.unknown


def test_closing_ends_the_wait_of_another_thread(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
        ThreadPoolExecutor(1) as threads,
    ):
        producer.enqueue(silent, "1")
        sent = Event()
        monkeypatch.setattr(Stream, "write_now", lambda *_: sent.set())
        waiting = threads.submit(producer.enqueue, silent, "on its way for ever")
        assert sent.wait(10)
        producer.close()
        with pytest.raises((errors.WrongUse, CancelledError)):
            waiting.result(10)


def test_a_signal_handler_may_enqueue_whatever_it_interrupts(broker: Broker, namespace: str) -> None:
    handled: list[str] = []

    def enqueue(_: int, __: FrameType | None) -> None:
        handled.append(producer.enqueue(silent, "signal").id)
        signal.setitimer(signal.ITIMER_REAL, 0.003)

    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue(silent, "first")
        before = signal.signal(signal.SIGALRM, enqueue)
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        try:
            ids = [producer.enqueue(silent, str(number)).id for number in range(30)]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert handled
        assert len({*ids, *handled}) == 30 + len(handled)
