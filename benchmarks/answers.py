"""What a producer does that waits for answers: round trips, fan-outs, and the bare client's one-way trip beside them."""

import threading
import time
from typing import Any

import pika
from benchmarks.figures import percentile
from benchmarks.jobs.work import PAYLOAD
from benchmarks.site import Site

_WARM = 30
_WAIT_SECONDS = 60
_BARE_SECONDS = 10


def round_trips(system: Any, number: int) -> dict[str, float]:
    """Wait for the result of one job after the other (Warren)."""
    from benchmarks.jobs.for_warren import begun

    whole, enqueued, started, back = list[float](), list[float](), list[float](), list[float]()
    for _ in range(_WARM + number):
        sent = time.time()
        handle = system.producer.enqueue(begun, PAYLOAD)
        confirmed = time.time()
        at = handle.result(_WAIT_SECONDS)
        done = time.time()
        for values, value in (
            (whole, done - sent),
            (enqueued, confirmed - sent),
            (started, at - sent),
            (back, done - at),
        ):
            values.append(value)
    names = ("p50 ms", "enqueue p50 ms", "start p50 ms", "back p50 ms")
    medians = {
        name: percentile(values[_WARM:], 50) * 1000
        for name, values in zip(names, (whole, enqueued, started, back), strict=True)
    }
    return {**medians, "p99 ms": percentile(whole[_WARM:], 99) * 1000}


def one_way(_system: Any, number: int) -> dict[str, float]:
    """Publish with confirms from one connection to an exclusive queue's consumer on another, one at a time (bare pika)."""
    url, got, took = Site.here().url, threading.Event(), list[float]()
    receiving = pika.BlockingConnection(pika.URLParameters(url))
    inbox = receiving.channel()
    queue = inbox.queue_declare("", exclusive=True).method.queue

    def received(_channel: object, _method: object, _properties: object, body: bytes) -> None:
        took.append(time.time() - float(body))
        got.set()

    inbox.basic_consume(queue, received, auto_ack=True)
    threading.Thread(target=inbox.start_consuming, daemon=True).start()
    sending = pika.BlockingConnection(pika.URLParameters(url))
    outbox = sending.channel()
    outbox.confirm_delivery()
    for _ in range(_WARM + number):
        got.clear()
        outbox.basic_publish("", queue, repr(time.time()).encode())
        assert got.wait(_BARE_SECONDS)
    sending.close()
    receiving.add_callback_threadsafe(inbox.stop_consuming)
    return {"p50 ms": percentile(took[_WARM:], 50) * 1000, "p99 ms": percentile(took[_WARM:], 99) * 1000}


def reduced(system: Any, items: int, chunk: int) -> dict[str, float]:
    """Fan trivial items out and have their results summed in a tree by a scheduler (Warren)."""
    from benchmarks.jobs.for_warren import square, total

    system.producer.map_reduce(square, range(100), reduce=total, chunk=10).result(_WAIT_SECONDS)
    own, started = time.process_time(), time.perf_counter()
    found = system.producer.map_reduce(square, range(items), reduce=total, chunk=chunk).result(_WAIT_SECONDS)
    seconds, used = time.perf_counter() - started, time.process_time() - own
    assert found == sum(number * number for number in range(items))
    return {"items/s": items / seconds, "producer µs": used / items * 1e6}


def mapped(system: Any, items: int, chunk: int) -> dict[str, float]:
    """Fan trivial items out and collect all results, in order (Warren)."""
    from benchmarks.jobs.for_warren import square

    system.producer.map(square, range(100), chunk=10).results(_WAIT_SECONDS)
    own, started = time.process_time(), time.perf_counter()
    total = sum(system.producer.map(square, range(items), chunk=chunk).results(_WAIT_SECONDS))
    seconds, used = time.perf_counter() - started, time.process_time() - own
    assert total == sum(number * number for number in range(items))
    return {"items/s": items / seconds, "producer µs": used / items * 1e6}
