"""`python -m benchmarks.history`: how fast jobs are recorded, and how long each question to the history takes, on SQLite and PostgreSQL."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import click
from rich.console import Console
from rich.table import Table
from tests.store.postgres import PostgresServer

from warren.job import new_id
from warren.states import JobState
from warren.store.asking import Cursor, Filter, count, one, page
from warren.store.database import Database
from warren.store.facts import Ended, Enqueued, Fact, Started
from warren.store.gathering import gather
from warren.store.history import record
from warren.store.searching import index_texts

BEGAN = 1_700_000_000.0
PER_SECOND = 100
BATCH, INDEXED = 6_000, 5_000
"""Facts in one transaction, as a recorder takes them with a backlog; jobs whose texts are indexed in one."""
LIMIT_MS = 100.0
_ASKED = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a question took, in milliseconds, and how many jobs were the answer."""

    jobs: int
    middle: float
    worst: float


def facts(number: int, chance: random.Random) -> Iterator[Fact]:
    """One job of a mixed day: 20 tasks, 4 queues, 5 workflows; 8 % dead, 2 % each cancelled, delayed, queued."""
    at = BEGAN + number / PER_SECOND
    place = new_id(at), f"app.tasks:t{chance.randrange(20)}", f"q{chance.randrange(4)}", 0
    kind = number % 50
    ready = at + (1e7 if kind == 7 else 0)  # noqa: PLR2004 - one in fifty
    call = f'{{"args":[{number},"file-{chance.randrange(10**6)}.png"],"kwargs":{{"size":128,"tenant":"tenant-{number % 10}"}}}}'
    workflow = f"01890a5d-ac96-774b-bcce-00000000000{number % 5}" if number % 3 == 0 else ""
    yield Enqueued(*place, 1, at, ready, call, workflow=workflow)
    if kind in (7, 8):
        return
    yield Started(*place, 1, at + 0.5, "host:123")
    if kind < 4:  # noqa: PLR2004 - four in fifty
        why = "failed", f"connection to host-{number % 7} refused", "ConnectionError", "Traceback…\n" * 20
        yield Ended(*place, 1, at + 1, JobState.DEAD, "host:123", None, *why)
    elif kind == 5:  # noqa: PLR2004
        yield Ended(*place, 1, at + 1, JobState.CANCELLED, reason="by an operator")
    else:
        yield Ended(*place, 1, at + 1, JobState.DONE, "host:123", '"some value"')


def filters(jobs: int) -> dict[str, Filter]:
    """Return what is asked: each filter alone, combined, and so that it fits nothing."""
    ends = BEGAN + jobs / PER_SECOND
    dead, done, running = (frozenset({state}) for state in (JobState.DEAD, JobState.DONE, JobState.RUNNING))
    flow, task = "01890a5d-ac96-774b-bcce-000000000003", "app.tasks:t3"
    return {
        "all": Filter(),
        **{f"state {state}": Filter(frozenset({state})) for state in JobState},
        "task": Filter(task=task),
        "task, by pattern": Filter(task="app.*"),
        "task, none": Filter(task="nobody"),
        "queue": Filter(queue="q1"),
        "state, task, queue": Filter(dead, task, "q1"),
        "last minute": Filter(since=ends - 60),
        "first minute": Filter(until=BEGAN + 60),
        "first minute, dead": Filter(dead, until=BEGAN + 60),
        "time, none": Filter(since=ends + 1e9),
        "workflow": Filter(workflow=flow),
        "workflow, dead": Filter(dead, workflow=flow),
        "workflow, running (none)": Filter(running, workflow=flow),
        "text, none has it": Filter(text="no such text"),
        "text, one has it": Filter(text=f"[{jobs // 2},"),
        "text, one in ten": Filter(text="tenant-3"),
        "text, all have it": Filter(text=".png"),
        "text of an error": Filter(text="refused"),
        "text, dead": Filter(dead, text="tenant-3"),
        "text, task": Filter(task=task, text="tenant-3"),
        "text, last minute": Filter(text="tenant-3", since=ends - 60),
        "text, first minute": Filter(text="tenant-3", until=BEGAN + 60),
        "text of an error, done (none)": Filter(done, text="refused"),
        "text, workflow": Filter(text="tenant-3", workflow=flow),
        "text, workflow (none)": Filter(text="tenant-4", workflow=flow),
    }


def fill(database: Database, jobs: int) -> tuple[float, float]:
    """Record so many jobs; return how many were recorded, and how many had their texts indexed, in a second."""
    chance = random.Random(1)  # noqa: S311 - the same jobs every time
    recording = indexing = 0.0
    batch: list[Fact] = []
    for number in range(jobs):
        batch += facts(number, chance)
        if len(batch) >= BATCH or number == jobs - 1:
            recording += _timed(_record, database, tuple(batch), BEGAN + jobs / PER_SECOND)
            batch.clear()
    more = True
    while more:
        started = time.perf_counter()
        with database.write() as connection:
            more = index_texts(connection, BEGAN + jobs, INDEXED) == INDEXED
        indexing += time.perf_counter() - started
    return jobs / recording, jobs / indexing


def _record(database: Database, told: tuple[Fact, ...], now: float) -> None:
    with database.write() as connection:
        record(connection, gather(told), now)


def _timed(act: Callable[..., object], *arguments: object, **more: object) -> float:
    started = time.perf_counter()
    act(*arguments, **more)
    return time.perf_counter() - started


def ask(database: Database, jobs: int) -> dict[str, Timing]:
    """Ask everything, on a connection that is open as a page of a console has one."""
    now = BEGAN + jobs / PER_SECOND
    found: dict[str, Timing] = {}
    with database.read() as connection:
        for name, wanted in filters(jobs).items():
            first = page(connection, wanted, now)
            after = first.next
            times = [_timed(page, connection, wanted, now) for _ in range(_ASKED)]
            if after is not None:
                times += [_timed(page, connection, wanted, now, after=after) for _ in range(_ASKED)]
            found[name] = _timing(len(first.jobs), times)
        middle = page(connection, Filter(), now, after=Cursor(BEGAN + jobs / PER_SECOND / 2, jobs)).jobs[0].id
        found["one job"] = _timing(1, [_timed(one, connection, middle) for _ in range(_ASKED)])
        found["counts by state"] = _timing(0, [_timed(count, connection, now) for _ in range(_ASKED)])
    return found


def _timing(jobs: int, times: list[float]) -> Timing:
    return Timing(jobs, median(times) * 1000, max(times) * 1000)


@contextmanager
def stores(kinds: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Make an empty store of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        urls = {"sqlite": f"sqlite:///{folder}/warren.db"} if "sqlite" in kinds else {}
        if "postgresql" not in kinds:
            yield urls
            return
        server = PostgresServer()
        try:
            server.start()
            yield urls | {"postgresql": server.url(server.make())}
        finally:
            server.close()


@click.command()
@click.option("--jobs", type=click.IntRange(min=100), default=1_000_000, show_default=True, help="In the history.")
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database.")
def main(jobs: int, only: str | None) -> None:
    """Fill a store of each kind and ask it everything; it never fails over a figure."""
    over: list[str] = []
    with stores((only,) if only else ("sqlite", "postgresql")) as urls:
        for kind, url in urls.items():
            database = Database(url)
            database.migrate()
            recorded, indexed = fill(database, jobs)
            click.echo(
                f"{kind}: recorded {recorded:,.0f} jobs/s, of three facts each; texts indexed {indexed:,.0f} jobs/s"
            )
            _settle(database)
            results = ask(database, jobs)
            database.close()
            _print(kind, jobs, results)
            over += [f"{kind}: {name}" for name, each in results.items() if each.middle > LIMIT_MS]
    click.echo(f"over {LIMIT_MS:g} ms: {', '.join(over) or 'none'}")


def _print(kind: str, jobs: int, results: dict[str, Timing]) -> None:
    table = Table(title=f"{kind}: ms for 50 of {jobs:,} jobs, {_ASKED} first and {_ASKED} second pages")
    for heading in ("question", "jobs", "median", "worst"):
        table.add_column(heading, justify="left" if heading == "question" else "right")
    for name, timing in results.items():
        table.add_row(name, str(timing.jobs), f"{timing.middle:.1f}", f"{timing.worst:.1f}")
    Console(width=120).print(table)


def _settle(database: Database) -> None:
    """Let PostgreSQL do now what autovacuum would do within a minute."""
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")


if __name__ == "__main__":
    main()
