"""How fast a recorder writes a backlog: `python -m benchmarks.recording --jobs 50000 --store sqlite:///FILE`.

Each job is two messages, as of a plain job that is done: its copy and its result. Nothing else runs meanwhile but the broker,
and PostgreSQL if that is the store. Texts are indexed as they come, as in service.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from warren import result, topology
from warren.amqp.pika_engine import connect
from warren.console.private_broker import PrivateBroker, Server, aloud, ensure_installed, version_root
from warren.events import Event
from warren.events_history import BatchRecorded
from warren.job import Body, Job, new_id, to_message
from warren.recorder.backlog import DEFAULT_BYTES, backlog
from warren.recorder.daemon import Recorder
from warren.result import Result
from warren.settings import Settings
from warren.states import JobState
from warren.topology import Names

_TOGETHER = 1_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: messages and jobs a second, and the recorder's CPU for a job in microseconds."""

    messages: float
    jobs: float
    cpu: float


async def fill(url: str, jobs: int) -> None:
    """Have a backlog of so many jobs that are done."""
    names = Names()
    connection = await connect(url, name="benchmark", heartbeat=30, timeout=30)
    await connection.declare(*topology.base(names), *topology.work_queue(names, "default"))
    await connection.declare(*backlog(names, DEFAULT_BYTES))
    for start in range(0, jobs, _TOGETHER):
        confirms = []
        for number in range(start, min(start + _TOGETHER, jobs)):
            now = time.time()
            job = Job(new_id(now), Body("m:f", [msgspec.Raw(b"%d" % number)]), "default", enqueued_at=now)
            told = Result(job.id, "m:f", "default", JobState.DONE, 1, now, "w", msgspec.Raw(b"%d" % number))
            message, key = result.to_message(told, job)
            confirms.append(connection.publish(to_message(job), names.jobs, "default"))
            confirms.append(connection.publish(message, names.results, key, mandatory=False))
        await asyncio.gather(*confirms)
    await connection.close()


async def measure(url: str, store: str, jobs: int) -> Figures:
    """Have a recorder write it."""
    done, seen, begun = asyncio.Event(), 0, 0.0

    def tell(event: Event) -> None:
        nonlocal seen, begun
        if isinstance(event, BatchRecorded):
            begun = begun or time.monotonic() - event.seconds
            seen += event.messages
            if seen >= 2 * jobs:
                done.set()

    recorder = Recorder(Settings(url=url, store=store, http_port=-1), tell)
    cpu = time.process_time()
    serving = asyncio.create_task(recorder.serve())
    await done.wait()
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    recorder.stop()
    await serving
    return Figures(seen / seconds, jobs / seconds, 1e6 * cpu / jobs)


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--store", default="")
    given = parser.parse_args()
    version = os.environ.get("BROKER")
    root = version_root(version, aloud) if version else None
    broker = PrivateBroker(Server(root=root) if root else ensure_installed(aloud))
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or f"sqlite:///{Path(folder) / 'history.db'}"
        try:
            broker.start()
            asyncio.run(fill(broker.url, given.jobs))
            figures = asyncio.run(measure(broker.url, store, given.jobs))
        finally:
            broker.close()
    print(f"{figures.messages:,.0f} messages/s, {figures.jobs:,.0f} jobs/s, {figures.cpu:.0f} µs of CPU a job")


if __name__ == "__main__":
    main()
