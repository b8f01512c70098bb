"""Time limits, soft and hard, whatever a task does meanwhile: the table in docs/how-to/limits.md is what this test finds."""

import time
from pathlib import Path
from typing import Any

import pytest
from tests.docs.tables import lines_between
from tests.faults import limit_jobs as jobs
from tests.faults.workers import running_worker, written
from tests.support import Broker

from warren.errors import JobFailed
from warren.producer import Producer
from warren.producer.handles import Handle

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "limits.md"
SOFT, HARD = 0.5, 1.0
"""Seconds. Every task takes longer than both."""
TASKS: dict[str, Any] = {
    "computes in Python": jobs.computes,
    "waits in a blocking call": jobs.sleeps,
    "is in C code that holds the interpreter's lock": jobs.holds_the_gil,
    "swallows exceptions": jobs.swallows,
    "awaits": jobs.awaits,
    "awaits in a slow `finally`": jobs.cleans_up_slowly,
    "blocks the event loop": jobs.blocks,
}


def test_each_limit_ends_each_task_as_documented(broker: Broker, namespace: str, tmp_path: Path) -> None:
    with (
        # One coroutine in a process: who blocks its loop is charged when another's limit ends meanwhile.
        running_worker(broker.url, namespace, tmp_path, "tests.faults.limit_jobs", processes=4, coroutines=1) as worker,
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        running = []
        for what, task in TASKS.items():
            logs = [tmp_path / f"{task.name.rpartition(':')[2]}-{kind}" for kind in ("soft", "hard")]
            soft = producer.enqueue(task.options(timeout=SOFT), str(logs[0]))
            hard = producer.enqueue(task.options(timeout=None, kill_after=HARD), str(logs[1]))
            running.append((what, logs, (soft, hard)))
        found = [
            (what, *(_ended(handle, log) for handle, log in zip(handles, logs, strict=True)))
            for what, logs, handles in running
        ]
        assert worker.process.poll() is None
    table = [f"| {' | '.join(row)} |" for row in found]
    assert lines_between(PAGE, "limits") == table, "the table should be:\n" + "\n".join(table)


def _ended(handle: Handle[object], log: Path) -> str:
    """How a job ended, in the words of the table."""
    try:
        value = handle.result(timeout=120)
        how = f"done: it {value}"
    except JobFailed as failed:
        if failed.error_type == "TimeLimitExceeded":
            how = "failed: `TimeLimitExceeded`"
        elif "over its kill_after" in failed.error:
            how = "its process is killed: `crashed`"
        else:
            how = failed.error
    said = [line["said"] for line in written(log)]
    return how + "".join(f"; {each}" for each in dict.fromkeys(said))


@pytest.mark.parametrize("deadline", [2.0])
def test_a_deadline_bounds_all_attempts_together(
    broker: Broker, namespace: str, tmp_path: Path, deadline: float
) -> None:
    log = tmp_path / "log"
    with (
        running_worker(broker.url, namespace, tmp_path, "tests.faults.limit_jobs"),
        Producer(url=broker.url, namespace=namespace) as producer,
    ):
        began = time.time()
        handle = producer.enqueue(jobs.fails.options(deadline=deadline), str(log))
        with pytest.raises(JobFailed) as failed:
            handle.result(timeout=120)
        assert failed.value.reason == "deadline"
        assert failed.value.error.endswith("not yet")
        assert 1 < len(written(log)) < 50
        assert all(line["at"] < began + deadline for line in written(log))
        late = producer.enqueue(jobs.sleeps.options(deadline=6), str(log))
        with pytest.raises(JobFailed) as failed:
            late.result(timeout=120)
        assert failed.value.error == "over its deadline"
