"""One worker, several queues: its weights or its order hold, nothing is hoarded, and nothing is lost on the way."""

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from tests.docs.measured import measured_table
from tests.faults import jobs
from tests.faults.raw import cut, dead_letters, delete
from tests.faults.workers import ROOT, Gate, WorkerProcess, begun, running_worker, worker_and_producer, written
from tests.support import Broker, eventually

from warren.producer import Producer

WEIGHTED = ["critical=6", "default=3", "bulk=1"]
THREE = ["critical", "default", "bulk"]


def fill(producer: Producer, log: Path, **numbers: int) -> None:
    """Enqueue so many jobs to each queue, that write down its name."""
    for queue, number in numbers.items():
        producer.enqueue_many(jobs.record_queue.options(queue=queue).call(str(log), each) for each in range(number))


def mix(log: Path, first: int, last: int) -> Counter[str]:
    """Wait until so many jobs are done, and return how many of those in this range each queue had."""
    eventually(lambda: len(written(log)) >= last, 120)
    return Counter(line["queue"] for line in written(log)[first:last])


def within(found: Mapping[str, int], shares: Mapping[str, int], part: float) -> bool:
    """Whether numbers are in proportion to shares, each but for this part of itself."""
    total, whole = sum(found.values()), sum(shares.values())
    return all(
        abs(found.get(name, 0) - total * share / whole) <= part * total * share / whole
        for name, share in shares.items()
    )


def as_documented(mixes: Sequence[Counter[str]]) -> list[str]:
    """The table of the page: each queue's weight, and its part of each mix."""
    rows = ["| queue | weight | all have jobs | `critical` is empty |", "|---|---|---|---|"]
    for text in WEIGHTED:
        name, _, weight = text.partition("=")
        parts = [f"{mix[name]:,} of {mix.total():,} jobs, {mix[name] / mix.total():.1%}" for mix in mixes]
        rows.append(" | ".join((f"| `{name}`", weight, *parts)) + " |")
    return rows


def test_completions_are_in_proportion_to_the_weights_and_an_empty_queues_part_goes_to_the_others(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer:
        fill(producer, log, critical=1260, default=1000, bulk=400)
        with running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED):
            measured = mix(log, 0, 2000)
            assert within(measured, {"critical": 6, "default": 3, "bulk": 1}, 0.05), measured
            # Some hundred later `critical` has none left.
            without = mix(log, 2200, 2520)
            assert within(without, {"default": 3, "bulk": 1}, 0.05), without
            mix(log, 0, 2660)
    assert dead_letters(broker, namespace) == []
    measured_table(ROOT / "docs/how-to/queues.md", "measured mix", as_documented((measured, without)))


def test_strict_starts_no_job_of_a_queue_while_one_before_it_has_any(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer:
        fill(producer, log, bulk=100, default=100, critical=100)
        with running_worker(broker.url, namespace, tmp_path, processes=1, queues=THREE, strict=True):
            eventually(lambda: len(written(log)) == 300)
    assert [line["queue"] for line in written(log)] == ["critical"] * 100 + ["default"] * 100 + ["bulk"] * 100


def test_strict_asks_the_first_queue_again_before_each_job_of_another(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer:
        bulk = jobs.record_and_enqueue.options(queue="bulk")
        producer.enqueue_many(bulk.call(str(log), number, "critical") for number in range(30))
        with running_worker(broker.url, namespace, tmp_path, processes=1, queues=THREE, strict=True):
            eventually(lambda: len(written(log)) == 60)
    # By one process: each job of `bulk` makes one of `critical`, which must be the next to start.
    expected = [(queue, number) for number in range(30) for queue in ("bulk", "critical")]
    assert [(line["queue"], line["number"]) for line in written(log)] == expected


def nursery(worker: WorkerProcess) -> int:
    (only,) = psutil.Process(worker.pid).children()
    return only.pid


def test_nothing_is_hoarded_so_two_workers_are_done_as_soon_as_four_processes_can_be(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    """200 jobs of 200 ms take 10 s; the ideal is what they took by their own clocks, divided by the processes.

    So what is not the queue's work does not count: enqueueing, starting the workers, a sleep that a busy machine ends late. What
    counts is only the time between one job's end and the next one's begin, and that processes stand idle at the end. On a machine with
    nothing else to do that is 2 to 5 %; the test leaves room for one that is busy with other tests.
    """
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED) as one,
        running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED) as two,
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        one.whole_pool()
        two.whole_pool()
        producer.enqueue_many(
            jobs.record_for.options(queue=THREE[number % 3]).call(str(log), number, 0.2) for number in range(200)
        )
        eventually(lambda: len(written(log)) == 200)
        by_worker = Counter(line["nursery"] for line in written(log))
        assert set(by_worker) == {nursery(one), nursery(two)}
    ran = written(log)
    assert sorted(line["number"] for line in ran) == list(range(200)), "none ran twice"
    ideal = sum(line["ended"] - line["begun"] for line in ran) / 4
    makespan = max(line["ended"] for line in ran) - min(line["begun"] for line in ran)
    print(f"makespan {makespan:.2f} s, ideal {ideal:.2f} s: {makespan / ideal:.3f}")
    assert makespan <= 1.25 * ideal, f"{makespan:.2f} s, and ideal are {ideal:.2f} s"


def test_a_worker_that_is_started_half_way_is_busy_at_once(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED),
        running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED),
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        producer.enqueue_many(
            jobs.record_for.options(queue=THREE[number % 3]).call(str(log), number, 0.2) for number in range(200)
        )
        eventually(lambda: len(written(log)) >= 50)
        with running_worker(broker.url, namespace, tmp_path, processes=2, queues=WEIGHTED) as third:
            (ready,) = third.lines("worker ready")
            ours = nursery(third)
            eventually(lambda: [line for line in written(log) if line["nursery"] == ours])
            first = min(line["begun"] for line in written(log) if line["nursery"] == ours)
            late = first - datetime.fromisoformat(ready["timestamp"]).timestamp()
            print(f"the third worker begins {late:.3f} s after it is ready")
            assert late < 2
            eventually(lambda: len(written(log)) == 200)


def test_jobs_of_several_queues_are_not_run_twice_when_the_connection_is_lost(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    settings = {"processes": 2, "name": namespace, "queues": WEIGHTED}
    with worker_and_producer(broker, namespace, tmp_path, **settings) as (worker, producer):
        handles = [
            producer.enqueue(jobs.record.options(queue=queue), str(log), number, until=gate.path)
            for number, queue in enumerate(("critical", "bulk", "default", "critical"))
        ]
        eventually(lambda: len(begun(log)) == 2)
        assert cut(broker, f"{namespace} consuming") == 1
        eventually(lambda: worker.lines("broker connected again"))
        gate.open()
        assert [handle.result(120) for handle in handles] == [0, 1, 2, 3]
        assert sorted(begun(log)) == [0, 1, 2, 3]
        assert {line["attempt"] for line in written(log)} == {1}


@pytest.mark.parametrize("busy", [False, True])
def test_one_of_several_queues_that_is_deleted_is_declared_and_served_again(
    broker: Broker, namespace: str, tmp_path: Path, busy: bool
) -> None:
    """While idle a consumer tells it, while busy the next question."""
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=1, queues=WEIGHTED) as (worker, producer):
        if busy:
            running = producer.enqueue(jobs.record.options(queue="bulk"), str(log), 1, until=gate.path)
            eventually(lambda: begun(log) == [1])
        delete(broker, "queues", f"{namespace}.queue.default")
        gate.open()
        if busy:
            assert running.result(120) == 1
        eventually(lambda: worker.lines("broker connected again"))
        for number, queue in enumerate(THREE, 2):
            assert producer.enqueue(jobs.record.options(queue=queue), str(log), number).result(120) == number
        assert [line["attempt"] for line in written(log)] == [1] * len(written(log))


def test_sigterm_leaves_what_waits_in_several_queues_untouched(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with Producer(url=broker.url, namespace=namespace) as producer:
        settings = {"processes": 2, "grace_period": 250, "queues": WEIGHTED}
        with running_worker(broker.url, namespace, tmp_path, **settings) as worker:
            handles = [
                producer.enqueue(jobs.record.options(queue=THREE[number % 3]), str(log), number, until=gate.path)
                for number in range(12)
            ]
            eventually(lambda: len(written(log)) == 2)
            worker.process.send_signal(signal.SIGTERM)
            eventually(lambda: worker.get("/readyz")[0] == 503)
            gate.open()
            assert worker.wait() == 0
        assert len(begun(log)) == 2
        with running_worker(broker.url, namespace, tmp_path, processes=3, queues=WEIGHTED):
            assert [handle.result(120) for handle in handles] == list(range(12))
    assert sorted(begun(log)) == list(range(12))
    assert {line["attempt"] for line in written(log)} == {1}


def test_a_map_in_one_of_several_queues_uses_all_processes(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes=3, queues=WEIGHTED) as (_, producer):
        handle = producer.map(
            jobs.record_from_second_on.options(queue="bulk"),
            range(4),
            chunk=4,
            kwargs={"path": str(log), "until": gate.path},
        )
        eventually(lambda: len(begun(log)) == 4)
        gate.open()
        assert handle.results(120) == [0, 1, 2, 3]


def test_one_process_serves_more_queues_than_there_are_processes(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log, ten = tmp_path / "log", [f"q{number}" for number in range(10)]
    with worker_and_producer(broker, namespace, tmp_path, processes=1, queues=ten) as (_, producer):
        handles = [
            producer.enqueue(jobs.record.options(queue=queue), str(log), number) for number, queue in enumerate(ten * 2)
        ]
        assert [handle.result(120) for handle in handles] == list(range(20))
