"""A worker that runs for long stays as it is: its memory, its processes, its sockets.

WARREN_TEST_SOAK says how many jobs; `make soak` takes 200,000. Every tenth of them its connections are cut.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.faults import soak_jobs as jobs
from tests.faults.raw import cut
from tests.faults.workers import WorkerProcess, running_worker
from tests.support import Broker, eventually

from warren.producer import Producer
from warren.task import Call

JOBS = int(os.environ.get("WARREN_TEST_SOAK", "10000"))
ROUNDS = 10
GROWTH_BYTES = 5_000_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_does_not_grow_over_many_jobs_failures_crashes_and_reconnects(
    broker: Broker, namespace: str, tmp_path: Path
) -> None:
    each = JOBS // ROUNDS
    settings: dict[str, object] = {"processes": 2, "coroutines": 20, "log_level": "info", "name": namespace}
    with (
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
        running_worker(broker.url, namespace, tmp_path, "tests.faults.soak_jobs", **settings) as worker,
    ):
        memory, belongings = [], []
        for turn in range(ROUNDS):
            producer.enqueue_many(_calls(turn * each, each))
            if turn:
                cut(broker, f"{namespace} consuming")
            _run_until(worker, (turn + 1) * each)
            eventually(lambda: len(worker.pool_pids()) == 2, message="all processes are there again")
            memory.append(_private(worker))
            belongings.append(_belongings(worker))
        print("MB of the parent after each round:", [round(one / 1e6, 2) for one in memory], belongings)
        assert memory[-1] - memory[0] < GROWTH_BYTES
        assert belongings[-1] == belongings[0]
        crashes = worker.metric("warren_dead_letters_total", reason="crashed")
        died = JOBS // 2 // jobs.DIES_EVERY
        # A few that were on their way to the worker when its connection was cut, twice, may be among them (RabbitMQ 4.3).
        assert died <= crashes <= died + ROUNDS + JOBS // 2_000


def _calls(first: int, count: int) -> Iterator[Call[object]]:
    """Plain ones and coroutines in turn."""
    for number in range(first // 2, (first + count) // 2):
        yield jobs.mixed.call(number)
        yield jobs.mixed_coroutine.call(number)


def _run_until(worker: WorkerProcess, total: int) -> None:
    def all_of_them() -> bool:
        assert worker.process.poll() is None
        return worker.metric("warren_jobs_finished_total") >= total

    eventually(all_of_them, timeout=600, message=f"{total:,} jobs have ended")


def _private(worker: WorkerProcess) -> int:
    """What only the parent has, in bytes."""
    return int(psutil.Process(worker.pid).memory_full_info().uss)


def _belongings(worker: WorkerProcess) -> tuple[int, int, int]:
    """Processes below it, its open files (sockets and pipes too), its threads; when they have settled."""

    def look() -> tuple[int, int, int]:
        parent = psutil.Process(worker.pid)
        return len(parent.children(recursive=True)), parent.num_fds(), parent.num_threads()

    def settled() -> bool:
        first = look()
        return all(look() == first for _ in range(20))

    eventually(settled, message="it has settled")
    return look()
