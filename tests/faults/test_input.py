"""Whatever anybody publishes to a queue: a good job runs, everything else is a dead letter with its reason."""

import json
import time
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import pika
import psutil
from tests.faults import jobs
from tests.faults.raw import RECORD, dead_letters, publish_raw
from tests.faults.workers import WorkerProcess, running_worker, worker_and_producer, written
from tests.support import Broker, eventually

from warren.producer import Producer

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "undecodable"),
    "binary": (bytes(range(256)) * 4, "undecodable"),
    "broken JSON": (b'{"task": "x"', "undecodable"),
    "a list": (b"[1, 2, 3]", "undecodable"),
    "a number": (b"42", "undecodable"),
    "task is a number": (b'{"task": 5}', "undecodable"),
    "no task": (b'{"args": []}', "undecodable"),
    "args is a string": (json.dumps({"task": RECORD, "args": "abc"}).encode(), "undecodable"),
    "kwargs is a list": (json.dumps({"task": RECORD, "kwargs": [1]}).encode(), "undecodable"),
    "unknown field": (json.dumps({"task": RECORD, "colour": "blue"}).encode(), "undecodable"),
    "indexes do not fit": (json.dumps({"task": RECORD, "items": [1], "indexes": [1, 2]}).encode(), "undecodable"),
    "deep nesting": (b'{"task": "x", "args": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "undecodable"),
    "deep nesting unclosed": (b"[" * 100_000, "undecodable"),
    "unknown task": (json.dumps({"task": "nobody.knows:this"}).encode(), "unknown_task"),
    "a module's function that is no task": (
        json.dumps({"task": "os:system", "args": ["true"]}).encode(),
        "unknown_task",
    ),
    "wrong number of arguments": (json.dumps({"task": RECORD}).encode(), "invalid_arguments"),
    "wrong types of arguments": (json.dumps({"task": RECORD, "args": [1, "x"]}).encode(), "invalid_arguments"),
    "five megabytes": (json.dumps({"task": RECORD, "args": ["x" * 5_000_000, 1]}).encode(), "too_large"),
}
HEADERS: list[dict[str, Any]] = [
    {"warren-attempt": "three"},
    {"warren-attempt": -1},
    {"warren-limits": "{"},
    {"warren-expires-at": True},
]


def memory_and_processes(worker: WorkerProcess) -> tuple[int, list[int]]:
    return psutil.Process(worker.pid).memory_info().rss, sorted(worker.pool_pids())


def test_hostile_messages_are_dead_letters_with_their_reasons_and_the_worker_is_unmoved(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path) as (worker, producer):
        assert producer.enqueue(jobs.record, str(log), 0).result(120) == 0
        processes = worker.whole_pool()
        good = []
        for number, (body, _) in enumerate(HOSTILE.values(), 1):
            publish_raw(broker, namespace, body)
            good.append(producer.enqueue(jobs.record, str(log), number))
        for headers in HEADERS:
            publish_raw(
                broker, namespace, json.dumps({"task": RECORD, "args": [str(log), 99]}).encode(), headers=headers
            )
        assert [handle.result(120) for handle in good] == list(range(1, len(HOSTILE) + 1))
        expected = sorted([reason for _, reason in HOSTILE.values()] + ["undecodable"] * len(HEADERS))
        eventually(lambda: worker.metric("warren_dead_letters_total") == len(expected))
        found = dead_letters(broker, namespace)
        assert sorted(reason for reason, _ in found) == expected
        untouched = {body for body, reason in HOSTILE.values() if reason in {"undecodable", "too_large"}}
        assert untouched <= {body for _, body in found}
        assert sorted(worker.pool_pids()) == processes


def test_the_same_hostile_messages_many_times_leave_the_workers_memory_where_it_was(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    small = [body for name, (body, _) in HOSTILE.items() if name != "five megabytes"]
    with running_worker(broker.url, namespace, tmp_path, log_level="info") as worker_quiet:
        worker_quiet.whole_pool()
        sent = 0
        readings = []
        for _ in range(3):
            connection = pika.BlockingConnection(pika.URLParameters(broker.url))
            channel = connection.channel()
            channel.confirm_delivery()
            for number in range(500):
                channel.basic_publish(f"{namespace}.jobs", "default", small[number % len(small)], mandatory=True)
            connection.close()
            sent += 500
            eventually(lambda: worker_quiet.metric("warren_dead_letters_total") == sent, 60)  # noqa: B023
            readings.append(memory_and_processes(worker_quiet))
        assert readings[2][0] - readings[1][0] < 5_000_000
        assert readings[0][1] == readings[2][1]


def test_a_job_published_by_hand_with_nothing_but_a_body_runs(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_worker(broker.url, namespace, tmp_path):
        body = json.dumps({"task": RECORD, "args": [str(log), 7]})
        request = urllib.request.Request(
            f"{broker.management_url}/api/exchanges/%2F/{namespace}.jobs/publish",
            json.dumps(
                {"properties": {}, "routing_key": "default", "payload": body, "payload_encoding": "string"}
            ).encode(),
            {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"routed": True}
        eventually(lambda: len(written(log)) == 2)
        first = written(log)[0]
        assert first["number"] == 7
        assert len(first["id"]) == 36


def test_an_expired_job_is_a_dead_letter_and_not_run(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue(jobs.record.options(expires=0.1), str(log), 1)
        late = producer.enqueue(jobs.record.options(expires=600), str(log), 2)
        publish_raw(broker, namespace, json.dumps({"task": RECORD, "args": [str(log), 3]}).encode(), expiration="100")
        sent = time.time()
        eventually(lambda: time.time() > sent + 0.3, message="what expires after 0.1 s has expired")
        with running_worker(broker.url, namespace, tmp_path):
            assert late.result(120) == 2
            eventually(lambda: len(dead_letters(broker, namespace)) == 2)
            letters = dead_letters(broker, namespace)
    assert [line["number"] for line in written(log) if line.get("begins")] == [2]
    assert sorted(reason for reason, _ in letters) == ["", "expired"]
