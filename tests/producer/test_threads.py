"""Publishing from the calling thread, on a real connection: threads, signals and interrupts in the worst places."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from types import FrameType
from typing import Any

import pika
import pytest
from tests.producer.hands import sessions, silent
from tests.support import Broker, eventually

from warren import errors
from warren.amqp import pika_reading, pika_stream
from warren.amqp.pika_stream import Stream
from warren.amqp.pika_taps import Taps
from warren.producer import Producer
from warren.producer.io_thread import IoThread


def ready(broker: Broker, namespace: str, count: int) -> None:
    """Wait until the default queue has so many jobs, each enqueued once."""
    wire = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = wire.channel()
    name = f"{namespace}.queue.default"
    eventually(
        lambda: channel.queue_declare(name, passive=True).method.message_count == count, 20, f"{count} jobs are queued"
    )
    wire.close()


def delete_queue(broker: Broker, namespace: str) -> None:
    wire = pika.BlockingConnection(pika.URLParameters(broker.url))
    wire.channel().queue_delete(f"{namespace}.queue.default")
    wire.close()


def reads(producer: Producer) -> Any:
    """Enqueue until threads read; return what they read with."""

    def reading() -> Any:
        producer.enqueue(silent, "before")
        session: Any = sessions(producer)
        return session.connection._services.opened.reading

    eventually(lambda: reading()._watch is not None, 20, "threads read")
    return reading()


@contextmanager
def nothing_is_sent(producer: Producer) -> Iterator[Event]:
    """Have publishes vanish on their way, as in a network that takes them and delivers nothing; yields when the first one did."""
    sent, patch = Event(), pytest.MonkeyPatch()
    patch.setattr(Stream, "write_now", lambda *_: sent.set())
    with patch.context():
        yield sent
    patch.undo()


@pytest.mark.skipif(not pika_reading.POSSIBLE, reason="needs epoll")
def test_a_thread_reads_its_own_confirms(broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    readers, take = list[threading.Thread](), Taps.take_answers

    def noted(taps: Taps, data: bytes) -> bytes:
        readers.append(threading.current_thread())
        return take(taps, data)

    monkeypatch.setattr(Taps, "take_answers", noted)
    with Producer(url=broker.url, namespace=namespace) as producer:
        eventually(lambda: producer.enqueue(silent, "1") and len(readers) >= 5, 20, "it reads")
    assert set(readers) == {threading.current_thread()}


def test_where_a_thread_cannot_read_the_loop_tells_it(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pika_stream, "POSSIBLE", False)  # as on other systems, and under TLS
    with Producer(url=broker.url, namespace=namespace) as producer:
        for number in range(20):
            producer.enqueue(silent, str(number))
        producer.enqueue_many(silent.call(str(number)) for number in range(120))
        before: Any = sessions(producer)
        assert before.connection._services.opened.reading is None
        ready(broker, namespace, 140)


def test_a_queue_that_is_deleted_under_a_thread_is_made_again_for_all_that_came_back(
    broker: Broker, namespace: str
) -> None:
    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue_many(silent.call("before") for _ in range(60))
        delete_queue(broker, namespace)
        producer.enqueue(silent, "one")
        delete_queue(broker, namespace)
        handles = producer.enqueue_many(silent.call(str(number)) for number in range(120))
        assert len({handle.id for handle in handles}) == 120
        ready(broker, namespace, 120)


def test_without_the_right_to_declare_what_comes_back_is_told_with_how_many_are_enqueued(
    broker: Broker, namespace: str
) -> None:
    with Producer(url=broker.url, namespace=namespace) as declaring:
        declaring.enqueue(silent, "1")
    with Producer(url=broker.url, namespace=namespace, declare=False) as producer:
        producer.enqueue_many(silent.call("before") for _ in range(60))
        calls = [silent.call("here")] * 50 + [silent.options(queue="nowhere").call("there")] * 3
        with pytest.raises(errors.Unroutable, match="nowhere") as unroutable:
            producer.enqueue_many(calls)
        assert unroutable.value.__notes__ == ["the first 50 jobs are enqueued; of the others some may be"]
        ready(broker, namespace, 111)


def test_heartbeats_are_heard_and_sent_while_a_thread_waits_long(broker: Broker, namespace: str) -> None:
    with Producer(url=broker.url, namespace=namespace, heartbeat=1, publish_timeout=4) as producer:
        producer.enqueue_many(silent.call("before") for _ in range(60))
        with nothing_is_sent(producer), pytest.raises(errors.BrokerUnavailable):
            producer.enqueue(silent, "on its way for ever")
        before: Any = sessions(producer)
        assert before.alive


def test_a_connection_that_is_lost_while_a_thread_waits_is_rebuilt_and_the_job_sent_again(
    broker: Broker, namespace: str
) -> None:
    with Producer(url=broker.url, namespace=namespace) as producer, ThreadPoolExecutor(1) as threads:
        producer.enqueue_many(silent.call("before") for _ in range(60))
        before: Any = sessions(producer)
        with nothing_is_sent(producer) as sent:
            waiting = threads.submit(producer.enqueue, silent, "lost")
            assert sent.wait(10)
        wire = before.connection._services.opened._transport.get_extra_info("socket")
        wire.shutdown(socket.SHUT_RDWR)
        assert waiting.result(20).id
        assert sessions(producer) is not before
        ready(broker, namespace, 61)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_moment_lose_nothing_that_was_confirmed(broker: Broker, namespace: str) -> None:
    class Interrupt(Exception):
        pass

    def interrupt(_: int, __: FrameType | None) -> None:
        raise Interrupt

    done = 0
    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue(silent, "first")
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for turn in range(20):
                with suppress(Interrupt):
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + turn * 0.00007)
                    producer.enqueue(silent, str(turn))
                    done += 1
                    signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        last = [producer.enqueue(silent, "last").id for _ in range(20)]
    assert len(set(last)) == 20
    wire = pika.BlockingConnection(pika.URLParameters(broker.url))
    declared = wire.channel().queue_declare(f"{namespace}.queue.default", passive=True)
    assert declared.method.message_count >= 21 + done
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
    with Producer(url=broker.url, namespace=namespace, publish_timeout=3) as producer:
        producer.enqueue(silent, "1")
        monkeypatch.setattr(Stream, "write_now", lambda *_: None)
        with pytest.raises(errors.BrokerUnavailable, match="it may still arrive") as unavailable:
            producer.enqueue(silent, "on its way for ever")
    assert unavailable.value.unknown


def test_the_loop_is_asyncios_own_whatever_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose sockets are its own, as uvloop's, cannot share their reading."""

    def another() -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio, "new_event_loop", another)
    thread = IoThread("test")
    assert thread.call(asyncio.sleep(0, "done")) == "done"
    thread.stop()


@pytest.mark.skipif(not pika_reading.POSSIBLE, reason="needs epoll")
def test_a_thread_that_reads_until_the_deadline_is_told_by_a_typed_error(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Producer(url=broker.url, namespace=namespace, publish_timeout=1) as producer:
        reads(producer)
        monkeypatch.setattr(Stream, "write_now", lambda *_: None)
        with pytest.raises(errors.BrokerUnavailable, match="it may still arrive"):
            producer.enqueue(silent, "on its way for ever")


def test_slow_calls_are_confirmed_although_their_deadline_is_over_when_they_are_looked_at(
    broker: Broker, namespace: str
) -> None:
    def slow() -> Iterator[Any]:
        for _ in range(60):
            yield silent.call("early")
        time.sleep(1.2)  # longer than a publish may take
        yield silent.call("late")

    with Producer(url=broker.url, namespace=namespace, publish_timeout=1) as producer:
        producer.enqueue(silent, "first")
        assert len(producer.enqueue_many(slow())) == 61
        ready(broker, namespace, 62)


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
