"""`warren workers`: who works, and at what."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.console.executable import Warren
from tests.console.fleets import a_job, a_status, busy, tell
from tests.faults import coroutine_jobs, jobs
from tests.faults.workers import Gate, running_worker, worker_and_producer
from tests.support import Broker, eventually

from warren.amqp.engines import connect_any
from warren.producer import Producer
from warren.status import WorkerState, WorkerStatus

pytestmark = pytest.mark.broker

COROUTINES = "tests.faults.coroutine_jobs"


@pytest.fixture
def say(broker: Broker, namespace: str) -> Callable[..., None]:
    """Have workers that nobody runs say something."""

    async def saying(*statuses: WorkerStatus) -> None:
        connection = await connect_any((broker.url,), "pika", name="test", heartbeat=30, timeout=20)
        await tell(connection, namespace, *statuses)
        await connection.close()

    return lambda *statuses: asyncio.run(saying(*statuses))


def of(warren: Warren, name: str) -> dict[str, Any]:
    """What is told of a worker; nothing while it is not heard of."""
    return next((one for one in warren.json("workers") if one["name"] == name), {})


def test_where_nobody_ever_worked_the_list_is_empty_and_says_what_to_do(warren: Warren) -> None:
    assert warren.json("workers") == []
    done = warren("workers")
    assert (done.returncode, done.stdout) == (0, "")
    assert "warren worker MODULE" in done.stderr


def test_workers_are_listed_from_what_they_said_and_a_silent_one_is_told(
    warren: Warren, say: Callable[..., None]
) -> None:
    now = time.time()
    slots = (busy(0, a_job(1, since=now - 30)),)
    say(
        a_status("alpha", at=now - 1, done=7, slots=slots),
        a_status("beta", at=now - 30),
        a_status("gamma", at=now - 100),
        a_status("delta", at=now - 40, state=WorkerState.STOPPED),
    )
    done = warren("workers")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(rows) == ["worker", "alpha", "beta", "delta"]
    assert " running " in rows["alpha"]
    assert " silent for 3" in rows["beta"]
    assert " stopped " in rows["delta"]
    assert "one is silent" in done.stderr
    assert [one["name"] for one in warren.json("workers", "list", "--since", "300")] == [
        "alpha",
        "beta",
        "delta",
        "gamma",
    ]
    assert [one["silent"] for one in warren.json("workers")] == [False, True, False]


def test_one_worker_is_shown_with_the_job_in_each_process(warren: Warren, say: Callable[..., None]) -> None:
    now = time.time()
    say(a_status("alpha", at=now, slots=(busy(3, a_job(7, since=now - 30, done=1, total=4)),)))
    text = warren.ok("workers", "show", "alpha")
    assert "state       running" in text
    (line,) = [line.split() for line in text.splitlines() if a_job(7).id in line]
    assert line[:3] == ["3", "203", "busy"]
    assert line[-3:] == ["1/4", "default", "m:f"]
    assert warren.json("workers", "show", "alpha")["slots"][0]["jobs"][0]["id"] == a_job(7).id


def test_a_worker_that_is_not_there_is_an_error_with_the_nearest_name(warren: Warren, say: Callable[..., None]) -> None:
    say(a_status("alpha", at=time.time()))
    document = warren.json("workers", "show", "alpah", code=1)
    assert document["kind"] == "NotFound"
    assert "did you mean 'alpha'?" in document["error"]
    assert "`warren workers` lists" in warren.json("workers", "show", "x", code=1)["error"]


def test_without_a_broker_it_says_so(alone: Warren) -> None:
    assert alone.json("workers", code=1)["kind"] == "BrokerUnavailable"


def test_a_real_worker_tells_what_it_runs_how_far_that_is_and_what_it_has_done(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, name="alpha") as (worker, producer):
        worker.whole_pool()
        eventually(lambda: of(warren, "alpha").get("state") == "running")
        producer.enqueue(jobs.record, str(tmp_path / "log"), 1).result(60)
        held = producer.enqueue(jobs.tell_progress, gate.path)

        def told() -> dict[str, Any]:
            found = of(warren, "alpha")
            return found if found.get("running") else {}

        found = eventually(told)
        assert (found["pid"], found["processes"], found["busy"], found["queues"]) == (worker.pid, 2, 1, ["default"])
        assert found["ended"] == {"done": 1}
        assert found["rss"] > 1 << 20
        assert sorted(slot["pid"] for slot in found["slots"]) == worker.whole_pool()
        (job,) = [job for slot in found["slots"] for job in slot["jobs"]]
        assert (job["id"], job["task"], job["attempt"]) == (held.id, "tests.faults.jobs:tell_progress", 1)
        assert (job["done"], job["total"]) == (3, 10)
        gate.open()
        held.result(60)
        eventually(lambda: of(warren, "alpha")["ended"] == {"done": 2} and not of(warren, "alpha")["running"])


def test_coroutine_jobs_are_told_each_with_its_own_time(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with (
        running_worker(broker.url, namespace, tmp_path, COROUTINES, name="alpha", processes=1),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        handles = [producer.enqueue(coroutine_jobs.record, str(tmp_path / "log"), n, gate.path) for n in range(3)]
        found = eventually(lambda: now if (now := of(warren, "alpha")).get("running") == 3 else {})
        (slot,) = found["slots"]
        assert {job["id"] for job in slot["jobs"]} == {handle.id for handle in handles}
        gate.open()


def test_a_worker_that_drains_says_so_and_then_that_it_stopped(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, name="alpha", grace_period=250) as (worker, producer):
        handle = producer.enqueue(jobs.record, str(tmp_path / "log"), 1, until=gate.path)
        eventually(lambda: of(warren, "alpha").get("running") == 1)
        worker.terminate()
        eventually(lambda: of(warren, "alpha")["state"] == "draining")
        gate.open()
        assert worker.wait() == 0
        assert handle.result(60) == 1
        found = of(warren, "alpha")
        assert (found["state"], found["silent"]) == ("stopped", False)


@pytest.mark.slow
def test_a_worker_that_is_killed_becomes_silent(warren: Warren, broker: Broker, namespace: str, tmp_path: Path) -> None:
    with running_worker(broker.url, namespace, tmp_path, name="alpha") as worker:
        eventually(lambda: of(warren, "alpha").get("state") == "running")
        assert not of(warren, "alpha")["silent"]
        worker.kill()
        found = eventually(lambda: now if (now := of(warren, "alpha"))["silent"] else {})
        assert found["state"] == "running", "it had no time to say anything else"
    assert "silent for" in warren.ok("workers")
