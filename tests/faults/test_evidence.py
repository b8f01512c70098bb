"""Poison, and what is left of it: real workers, real brokers, real deaths; and what jobs print on the way."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from tests.console.executable import Warren
from tests.faults import deadly, jobs
from tests.faults.workers import JOBS, Gate, WorkerProcess, running_worker, written
from tests.support import Broker, eventually

from warren.console.broker_facts import facts_of
from warren.console.private_broker import PrivateBroker
from warren.producer import Producer
from warren.settings import load

DEADLY = "tests.faults.deadly"
BOTH = (DEADLY, JOBS)


@contextmanager
def a_producer(broker: Broker, namespace: str) -> Iterator[Producer]:
    with Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer:
        yield producer


def counts_losses(broker: Broker) -> bool:
    """Whether the broker tells lost workers from what was given back: since RabbitMQ 4.3."""
    facts, _ = asyncio.run(facts_of(load(url=broker.url)))
    return facts.version is not None and facts.version >= (4, 3)


class Letters:
    """The dead letters of a namespace, as `warren dead` shows them."""

    def __init__(self, broker: Broker, namespace: str) -> None:
        self._warren = Warren(url=broker.url, namespace=namespace, management_url=broker.management_url)

    def all(self, count: int) -> list[dict[str, object]]:
        """Wait for so many and return them whole."""
        listed = eventually(lambda: found if len(found := self._listed()) >= count else [])
        return [self._warren.json("dead", "show", str(letter["id"])) for letter in listed]

    def shown(self, letter: dict[str, object]) -> str:
        return self._warren.ok("dead", "show", str(letter["id"]))

    def _listed(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self._warren.json("dead", "list")
        return found


def test_the_dead_letter_of_a_crash_has_its_output_and_its_stack(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    letters = Letters(broker, namespace)
    with (
        running_worker(broker.url, namespace, tmp_path, *BOTH) as worker,
        a_producer(broker, namespace) as producer,
    ):
        for how in ("SIGSEGV", "SIGABRT", "SIGKILL", "exit"):
            producer.enqueue(deadly.say_and_die, how)
        found = {str(letter["output"]).rpartition(" ")[2].strip(): letter for letter in letters.all(4)}
        assert set(found) == {"SIGSEGV", "SIGABRT", "SIGKILL", "exit"}
        for how, letter in found.items():
            for said in (f"python says {how}\n", "c says so\n", "a program says so\n", f"last words before {how}"):
                assert said in str(letter["output"])
            assert letter["reason"] == "crashed"
        assert {how: letter["signal"] for how, letter in found.items()} == {
            "SIGSEGV": 11, "SIGABRT": 6, "SIGKILL": 9, "exit": None,
        }  # fmt: skip
        assert found["exit"]["exit_code"] == 3
        for how in ("SIGSEGV", "SIGABRT"):
            assert "in say_and_die" in str(found[how]["stack"])
        assert not found["SIGKILL"]["stack"]
        assert found["SIGKILL"]["oom"] is not True
        shown = letters.shown(found["SIGSEGV"])
        assert "where its process was at the end" in shown
        assert "  python says SIGSEGV\n" in shown
        (logged,) = [line for line in worker.lines("pool process ended") if "SIGABRT" in line["detail"]]
        assert logged["output"] == "last words before SIGABRT"
        assert "deadly.py" in logged["where"]


def test_the_last_error_of_a_crash_stays_short(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_worker(broker.url, namespace, tmp_path, *BOTH), a_producer(broker, namespace) as producer:
        assert producer.enqueue(deadly.print_and_crash_once, str(log)).result(120) == "its process was ended by SIGSEGV"


def test_all_that_jobs_print_is_in_the_workers_output_when_it_has_stopped(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, *BOTH) as worker,
        a_producer(broker, namespace) as producer,
    ):
        handles = [producer.enqueue(deadly.say, f"line {number} {'x' * 500}") for number in range(200)]
        for handle in handles:
            handle.result(120)
        worker.terminate()
        assert worker.wait() == 0
        lines = [line for line in worker.log.read_text().splitlines() if line.startswith("line ")]
    assert sorted(lines) == sorted(f"line {number} {'x' * 500}" for number in range(200))


def test_a_job_that_prints_much_to_nobody_stops_nobody_else_and_costs_no_memory(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    megabytes, log = 100, tmp_path / "worker.log"
    reading, writing = os.pipe()
    log.touch()
    heard = Counter[bytes]()

    def listen() -> None:
        with os.fdopen(reading, "rb") as out:
            heard.update(out)

    with (
        WorkerProcess(broker.url, namespace, log, *BOTH, stdout=writing, heartbeat=2) as worker,
        a_producer(broker, namespace) as producer,
    ):
        os.close(writing)
        worker.wait_ready()
        worker.whole_pool()
        before = psutil.Process(worker.pid).memory_info().rss
        much = producer.enqueue(deadly.print_much, megabytes)
        for number in range(100):
            assert producer.enqueue(jobs.record, str(tmp_path / "done"), number).result(120) == number
        listener = threading.Thread(target=listen)
        listener.start()
        much.result(120)
        assert psutil.Process(worker.pid).memory_info().rss - before < 20 << 20
        assert not worker.lines("broker connection lost, rebuilding it")
        worker.terminate()
        assert worker.wait() == 0
        listener.join()
    assert heard[b"x" * 1023 + b"\n"] == megabytes * 1024


def test_a_worker_whose_output_is_closed_goes_on(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    reading, writing = os.pipe()
    log.touch()
    with (
        WorkerProcess(broker.url, namespace, log, *BOTH, stdout=writing) as worker,
        a_producer(broker, namespace) as producer,
    ):
        os.close(writing)
        worker.wait_ready()
        os.close(reading)
        for number in range(50):
            producer.enqueue(deadly.say, f"to nobody {number}").result(120)
        producer.enqueue(deadly.print_much, 5).result(120)
        worker.terminate()
        assert worker.wait() == 0


def test_a_stopping_worker_says_where_the_jobs_were_that_it_ended(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, *BOTH, grace_period=0.5) as worker,
        a_producer(broker, namespace) as producer,
    ):
        producer.enqueue(deadly.hang.options(kill_after=600), "sleep", str(log))
        eventually(lambda: written(log))
        worker.terminate()
        assert worker.wait() == 0
        assert any("_hang_asleep" in line.get("where", "") for line in worker.lines("pool process ended"))


@pytest.mark.slow
def test_poison_costs_nobody_else_anything_and_is_a_dead_letter_with_its_evidence(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    runs, done, exact = tmp_path / "runs", tmp_path / "done", counts_losses(broker)
    with (
        a_producer(broker, namespace) as producer,
        kept_running(broker, namespace, tmp_path) as started,
    ):
        good = [producer.enqueue(jobs.record, str(done), number) for number in range(100)]
        for number in range(5):
            producer.enqueue(deadly.poison, str(runs), number)
        producer.enqueue(deadly.eat, str(runs), 300)
        good += [producer.enqueue(jobs.record, str(done), number) for number in range(100, 200)]
        assert [handle.result(300) for handle in good] == list(range(200))
        letters = Letters(broker, namespace)
        poisoned = letters.all(6)
        assert len(started) == 1, "none of the first six took the worker along"
        if exact:  # else it takes the worker along until the queue's delivery limit, twenty times
            producer.enqueue(deadly.kill_the_worker, str(runs))
            more = [producer.enqueue(jobs.record, str(done), number) for number in range(200, 220)]
            assert [handle.result(300) for handle in more] == list(range(200, 220))
            (killer,) = [letter for letter in letters.all(7) if letter["task"] == deadly.kill_the_worker.name]
    begun = Counter(str(line["number"]) for line in written(runs))
    assert {number: begun[number] for number in begun if number != "killer"} == dict.fromkeys(
        ["0", "1", "2", "3", "4", "eater"], 3
    )
    assert {(letter["reason"], letter["crashes"]) for letter in poisoned} == {("crashed", 3)}
    for letter in poisoned:
        assert letter["max_rss"]
        assert letter["signal"] == (6 if letter["task"] == deadly.eat.name else 9)
        assert "eating" in str(letter["output"]) or " works" in str(letter["output"])
        assert ("in eat" in str(letter["stack"])) == (letter["task"] == deadly.eat.name)
    if exact:
        assert begun["killer"] == 3
        assert (killer["reason"], killer["crashes"]) == ("crashed", 3)
        assert killer["error"] == "its worker or process was lost 3 times while it had this job"


def test_a_restart_of_the_broker_is_at_most_one_loss_for_its_jobs(
    own_broker: PrivateBroker, namespace: str, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with ExitStack() as stack:
        workers = [stack.enter_context(running_worker(own_broker.url, namespace, tmp_path, *BOTH)) for _ in range(4)]
        producer = stack.enter_context(a_producer(own_broker, namespace))
        handles = [producer.enqueue(jobs.record, str(log), number, until=gate.path) for number in range(3)]
        eventually(lambda: len(written(log)) == 3)
        own_broker.stop()
        own_broker.start()
        for worker in workers:
            eventually(lambda worker=worker: worker.lines("broker connected again"))  # type: ignore[misc]
        gate.open()
        assert [handle.result(120) for handle in handles] == [0, 1, 2]
        charged = [
            line
            for worker in workers
            for line in worker.lines("a worker was lost with this job; it is charged with that and tried again")
        ]
        assert {line["crashes"] for line in charged} <= {1}
        assert len(charged) <= 3
        assert not [line for worker in workers for line in worker.lines("job refused")]


@contextmanager
def kept_running(broker: Broker, namespace: str, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """A worker that is started again when it is gone, as a service manager does; all that there were."""
    started: list[WorkerProcess] = []
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            log = tmp_path / f"worker-{len(started)}.log"
            log.touch()
            with WorkerProcess(broker.url, namespace, log, *BOTH) as worker:
                started.append(worker)
                while worker.process.poll() is None and not over.wait(0.05):
                    pass

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield started
    finally:
        over.set()
        keeper.join()
