"""`python -m benchmarks.recording`: how fast a recorder writes what a worker at its fastest tells, to SQLite and PostgreSQL.

Jobs that do nothing are enqueued and a worker of two processes drains them, once while nobody keeps history, once while a stream
does. Then a recorder reads all of it from the stream: of each job its copy, and its end, which a result tells or, where none is
published, an event. Each has the machine for itself, but for the broker, and PostgreSQL where that is the store. Texts are indexed
as they come, as in service.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from benchmarks.apart import apart
from benchmarks.history import stores
from benchmarks.jobs.work import PAYLOAD
from benchmarks.measures.drain import watched
from benchmarks.processes import cpu_of
from benchmarks.site import Site
from benchmarks.systems.system import module
from benchmarks.waiting import wait_until
from benchmarks.worker import running

from warren import topology
from warren.amqp.pika_engine import connect
from warren.console.private_broker import PrivateBroker, aloud, private_broker, version_root
from warren.recorder.backlog import DEFAULT_BYTES, backlog
from warren.states import JobState
from warren.store.database import Database
from warren.store.kinds import all_kinds
from warren.store.places import place
from warren.topology import Names

CASES = {"no results": "nothing", "results": "answered"}
_WARM = 300
_FACTS = 2
"""Of a job: it was enqueued, it has ended."""
_SECONDS, _POLL_SECONDS = 120, 0.02


@dataclass(frozen=True, slots=True)
class Figures:
    """Jobs and messages a second of a recorder, and its CPU for a job in microseconds."""

    jobs: float
    messages: float
    cpu: float


async def keep(site: Site) -> None:
    """Have a stream that keeps what is told."""
    names = Names(site.space)
    connection = await connect(site.url, name="benchmark", heartbeat=30, timeout=30)
    await connection.declare(*topology.base(names), *topology.delays(names), *backlog(names, DEFAULT_BYTES))
    await connection.close()


def drain(site: Site, job: str, jobs: int) -> float:
    """Have a worker run so many jobs; return how many it ran in a second."""
    apart(site, "warren", "at_once", job, [PAYLOAD], jobs)
    with running("warren", site) as worker:
        ran, used = watched(worker, _WARM, jobs, seconds=60)
        worker.stop()
    return ran / used.seconds


@contextmanager
def recording(site: Site, store: str) -> Iterator[int]:
    """`warren recorder`, which has been started; its process id."""
    names = ("--url", site.url, "--namespace", site.space, "--store", store)
    argv = module("warren", "recorder", "--http-port", "0", "--log-level", "warning", *names)
    with subprocess.Popen(argv, env=site.environ()) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def record(site: Site, store: str, jobs: int) -> Figures:
    """Have a recorder write so many jobs."""
    database = Database(store)
    database.migrate()
    stream, before = Names(site.space).history.stream, _recorded(database)
    with recording(site, store) as pid:
        wait_until(lambda: _read(database, stream) > 0, _SECONDS, "the recorder begins", _POLL_SECONDS)
        begun, at, cpu = (
            time.monotonic(),
            _read(database, stream),
            cpu_of(pid),
        )  # by then that many copies were recorded
        wait_until(lambda: _recorded(database) - before >= jobs, _SECONDS, "the jobs are recorded", _POLL_SECONDS)
        seconds, cpu, messages = time.monotonic() - begun, cpu_of(pid) - cpu, _read(database, stream) - at
    database.close()
    counted = max(1.0, jobs - at / _FACTS)
    return Figures(counted / seconds, messages / seconds, 1e6 * cpu / counted)


def _read(database: Database, stream: str) -> int:
    with database.read() as connection:
        found = place(connection, stream)
    return found.next_offset if found else 0


def _recorded(database: Database) -> int:
    with database.read() as connection:
        return sum(kind.jobs for kind in all_kinds(connection) if kind.state == JobState.DONE)


def site_of(broker: PrivateBroker, space: str, folder: str) -> Site:
    """A site of its own in this folder."""
    assert broker.pid is not None, "the broker has ended"
    return Site(broker.url, space, tempfile.mkdtemp(dir=folder), broker.pid, prefetch=None)


@click.command()
@click.option("--jobs", type=click.IntRange(min=1_000), default=50_000, show_default=True, help="Of each kind.")
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database.")
@click.option("--broker", envvar="BROKER", default="", help="RabbitMQ's version, 3.10 or 4.3; else what is there.")
def main(jobs: int, only: str | None, broker: str) -> None:
    """Be the command; it never fails over a figure."""
    kinds = (only,) if only else ("sqlite", "postgresql")
    brokers = private_broker(root=version_root(broker, aloud) if broker else None)
    with tempfile.TemporaryDirectory() as folder, brokers as node, stores(kinds) as urls:
        for name, job in CASES.items():
            unseen = drain(site_of(node, f"{job}-unseen", folder), job, jobs)
            asyncio.run(keep(site := site_of(node, job, folder)))
            seen = drain(site, job, jobs)
            click.echo(f"{name}: worker {unseen:,.0f} jobs/s, while history is kept {seen:,.0f}")
            for kind, url in urls.items():
                told = record(site, url, jobs)
                click.echo(
                    f"  recorder, {kind}: {told.jobs:,.0f} jobs/s, {told.jobs / unseen:.2f} and {told.jobs / seen:.2f} of it; "
                    f"{told.messages:,.0f} messages/s, {told.cpu:.0f} µs of CPU a job"
                )


if __name__ == "__main__":
    main()
