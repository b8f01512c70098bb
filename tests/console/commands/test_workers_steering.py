"""`warren workers drain` and its kin: real workers do what they are told, and answer."""

import time
from pathlib import Path

import pytest
from tests.console.commands.test_workers import of, say
from tests.console.executable import Warren
from tests.console.fleets import a_status
from tests.faults import jobs
from tests.faults.workers import Gate, running_worker, worker_and_producer, written
from tests.support import Broker, eventually

pytestmark = pytest.mark.broker

__all__ = ["say"]  # the fixture


def test_a_worker_that_is_told_to_drains_finishes_what_it_runs_and_is_not_hurried_by_a_second_word(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path, name="alpha", grace_period=250) as (worker, producer):
        handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: written(log))
        (first,) = warren.json("workers", "drain", "alpha")["answers"]
        assert first == {"worker": "alpha", "running": 1, "grace": 250.0, "already": False}
        assert "alpha drains already: 1 job still runs" in warren.ok("workers", "drain", "alpha")
        assert of(warren, "alpha")["state"] == "draining"
        gate.open()
        assert worker.wait() == 0
        assert handle.result(60) == 1
        assert [line["given_back"] for line in worker.lines("worker stopped")] == [0]
    assert [line["attempt"] for line in written(log)] == [1, 1]


def test_all_workers_are_told_and_each_answers(warren: Warren, broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, name="alpha") as alpha,
        running_worker(broker.url, namespace, tmp_path, name="beta") as beta,
    ):
        told = warren.json("workers", "drain", "--all")
        assert sorted(answer["worker"] for answer in told["answers"]) == ["alpha", "beta"]
        assert told["missing"] == []
        assert (alpha.wait(), beta.wait()) == (0, 0)


def test_one_worker_that_is_named_is_told_and_no_other(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with (
        running_worker(broker.url, namespace, tmp_path, name="alpha") as alpha,
        running_worker(broker.url, namespace, tmp_path, name="beta") as beta,
    ):
        assert "alpha ends" in warren.ok("workers", "drain", "alpha")
        assert alpha.wait() == 0
        assert beta.get("/readyz")[0] == 200


def test_a_worker_has_as_many_processes_as_it_is_told_to_have(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with running_worker(broker.url, namespace, tmp_path, name="alpha", processes=2) as worker:
        worker.whole_pool()
        (answer,) = warren.json("workers", "resize", "alpha", "3")["answers"]
        assert answer == {"worker": "alpha", "before": 2, "after": 3}
        eventually(lambda: len(worker.pool_pids()) == 3)
        assert "alpha goes from 3 to 1 process" in warren.ok("workers", "resize", "--all", "1")
        eventually(lambda: len(worker.pool_pids()) == 1)
        eventually(lambda: of(warren, "alpha")["processes"] == 1)


@pytest.mark.parametrize(
    "words", [("alpha", "0"), ("alpha", "many"), ("3",), ("alpha", "beta", "3"), ("alpha", "1001")]
)
def test_what_is_no_number_of_processes_is_refused_at_once(warren: Warren, words: tuple[str, ...]) -> None:
    assert warren("workers", "resize", *words).returncode == 2


def test_a_worker_that_scales_by_itself_says_that_it_does(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with running_worker(broker.url, namespace, tmp_path, name="alpha", processes="1..2"):
        (answer,) = warren.json("workers", "resize", "alpha", "3", code=1)["answers"]
        assert "scales by itself between 1 and 2" in answer["refused"]


def test_a_recycled_worker_has_new_processes_and_those_that_run_something_finish_it(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path, name="alpha", processes=2) as (worker, producer):
        before = worker.whole_pool()
        handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: written(log))
        assert warren.json("workers", "recycle", "alpha")["answers"] == [{"worker": "alpha", "processes": 2}]
        eventually(lambda: len(set(worker.pool_pids()) - set(before)) == 2)

        def leaving() -> list[int]:
            slots = of(warren, "alpha")["slots"]
            return [slot["pid"] for slot in slots if slot["state"] == "leaving" and slot["jobs"][0]["id"] == handle.id]

        (old,) = eventually(leaving)
        assert old in before
        gate.open()
        assert handle.result(60) == 1
        eventually(lambda: not set(worker.pool_pids()) & set(before))
    assert [line["attempt"] for line in written(log)] == [1, 1]


def test_a_worker_that_ends_takes_no_more_orders(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path, name="alpha", grace_period=250) as (worker, producer):
        handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: written(log))
        warren.ok("workers", "drain", "alpha")
        for words in (("resize", "alpha", "4"), ("recycle", "alpha")):
            (answer,) = warren.json("workers", *words, code=1)["answers"]
            assert answer["refused"] == "it is about to end"
        gate.open()
        assert worker.wait() == 0
        assert handle.result(60) == 1


def test_the_stacks_of_a_job_say_where_it_is(warren: Warren, broker: Broker, namespace: str, tmp_path: Path) -> None:
    gate, log = Gate(tmp_path), tmp_path / "log"
    with worker_and_producer(broker, namespace, tmp_path, name="alpha") as (worker, producer):
        worker.whole_pool()
        handle = producer.enqueue(jobs.record, str(log), 1, until=gate.path)
        eventually(lambda: written(log))
        text = warren.ok("workers", "stacks", "alpha")
        assert f"tests.faults.jobs:record {handle.id}, attempt 1" in text
        assert "in wait_for" in text
        processes = warren.json("workers", "stacks", "alpha")["answers"][0]["processes"]
        assert [process["slot"] for process in processes] == [0, 1]
        (busy,) = [process for process in processes if process["jobs"]]
        assert busy["jobs"][0]["id"] == handle.id
        assert "in wait_for" in busy["text"]
        gate.open()
        assert handle.result(60) == 1


def test_a_name_that_nobody_has_is_an_error_with_the_nearest(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with running_worker(broker.url, namespace, tmp_path, name="alpha"):
        eventually(lambda: of(warren, "alpha").get("state") == "running")
        document = warren.json("workers", "drain", "alpah", code=1)
        assert document["kind"] == "NotFound"
        assert "did you mean 'alpha'?" in document["error"]


def test_a_worker_that_is_gone_is_told_to_be_silent(
    warren: Warren, broker: Broker, namespace: str, say: object
) -> None:
    assert callable(say)
    say(a_status("alpha", at=time.time() - 20))
    # The control exchange is declared by whoever works; here nobody does.
    warren.ok("topology", "apply")
    document = warren.json("workers", "stacks", "alpha", code=1)
    assert "silent for" in document["error"]


def test_whom_is_meant_must_be_said(warren: Warren) -> None:
    assert warren("workers", "drain").returncode == 2
    assert warren("workers", "drain", "alpha", "--all").returncode == 2


def test_where_nobody_ever_worked_there_is_nobody_to_be_told(warren: Warren) -> None:
    done = warren("workers", "drain", "--all")
    assert done.returncode == 1
    assert "no worker answers" in done.stderr
