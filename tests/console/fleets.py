"""Statuses of workers that nobody runs."""

from typing import Any

from warren.amqp.seam import Connection
from warren.status import ProcessStatus, RunningJob, WorkerState, WorkerStatus, to_message
from warren.topology import Names, workers

NOW = 1_700_000_000.0


def a_status(name: str = "alpha", *, at: float = NOW, done: int = 0, **more: Any) -> WorkerStatus:
    """A worker that has been there for a minute."""
    told: dict[str, Any] = {
        "host": "h",
        "pid": 100,
        "version": "0.1",
        "started_at": NOW - 60,
        "interval": 5.0,
        "state": WorkerState.RUNNING,
        "queues": ("default",),
        "processes": 2,
        "ended": {"done": done} if done else {},
        "rss": 40 << 20,
    }
    return WorkerStatus(name=name, at=at, **{**told, **more})


def a_job(number: int = 1, *, since: float = NOW - 10, **more: Any) -> RunningJob:
    told: dict[str, Any] = {"task": "m:f", "queue": "default", "attempt": 1}
    return RunningJob(id=f"00000000-0000-7000-8000-{number:012}", since=since, **{**told, **more})


def busy(slot: int, *jobs: RunningJob, running: int | None = None) -> ProcessStatus:
    return ProcessStatus(slot, 200 + slot, "busy", len(jobs) if running is None else running, jobs, 20 << 20)


async def tell(connection: Connection, namespace: str, *statuses: WorkerStatus) -> None:
    """Have workers say this on a broker."""
    names = Names(namespace)
    await connection.declare(*workers(names))
    for status in statuses:
        await connection.publish(to_message(status), names.workers, "", mandatory=False)
