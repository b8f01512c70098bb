"""Jobs and items a second, beside what the bare client library does on the same broker in the same run."""

import time
from collections.abc import Callable

import pika
from benchmarks import tasks
from benchmarks.measuring import Figure, namespace, worker

from warren.producer import Producer

_RUNS = 3
_SINGLE, _BATCH, _ITEMS = 1_000, 10_000, 50_000
_PAYLOAD = "x" * 100


def measure(url: str) -> list[Figure]:
    """Return rates of enqueuing, running and mapping."""
    runs = [_run(url) for _ in range(_RUNS)]
    return [Figure.of(what, unit, [run[what, unit] for run in runs]) for what, unit in runs[0]]


def _run(url: str) -> dict[tuple[str, str], float]:
    space, rates = namespace(), dict[tuple[str, str], float]()
    with Producer(url=url, namespace=space) as producer:
        producer.enqueue(tasks.nothing, _PAYLOAD)
        bare = _bare_confirmed(url, f"{space}.jobs")
        single = _rate(_SINGLE, lambda: [producer.enqueue(tasks.nothing, _PAYLOAD) for _ in range(_SINGLE)])
        batch = _rate(_BATCH, lambda: producer.enqueue_many(tasks.nothing.call(_PAYLOAD) for _ in range(_BATCH)))
        rates["bare pika, each confirmed", "/s"] = bare
        rates["enqueue, each confirmed", "/s"] = single
        rates["enqueue / bare pika", "ratio"] = single / bare
        rates["enqueue_many", "/s"] = batch
        started = time.perf_counter()
        with worker(url, space, "--processes", "2"):
            producer.enqueue(tasks.now).result(120)
            rates["no-op jobs drained, start included", "/s"] = (2 * _SINGLE + _BATCH) / (time.perf_counter() - started)
            mapped = _rate(_ITEMS, lambda: producer.map(tasks.square, range(_ITEMS), chunk=1000).results(120))
            rates["map of n*n, chunks of 1000", "items/s"] = mapped
    return rates


def _rate(number: int, action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return number / (time.perf_counter() - started)


def _bare_confirmed(url: str, exchange: str) -> float:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(delivery_mode=2)
    body = b'{"task":"benchmarks.tasks:nothing","args":["' + _PAYLOAD.encode() + b'"]}'
    rate = _rate(
        _SINGLE,
        lambda: [channel.basic_publish(exchange, "default", body, properties, mandatory=True) for _ in range(_SINGLE)],
    )
    connection.close()
    return rate
