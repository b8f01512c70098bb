"""What is recorded is what the facts say together, on SQLite and PostgreSQL, whatever their order and number."""

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from tests.store.postgres import PostgresServer
from tests.store.telling import facts, fold

import warren.store.tables_history as tables
from warren.result import ItemFailure
from warren.states import JobState
from warren.store.bulk import Bulk
from warren.store.database import Database
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, ItemsEnded, Started
from warren.store.gathering import gather
from warren.store.history import known_jobs, record
from warren.store.merging import Record
from warren.store.migrating import VERSION_TABLE
from warren.store.tables import metadata

NOW = 1_000.0
NUMBERS = itertools.count()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database for all examples of a property: each has ids of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'warren.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.make(request.getfixturevalue("migrated")))
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()


def recorded(connection: Connection, *ids: str) -> dict[str, Record]:
    return {job_id: known.record for job_id, known in known_jobs(Bulk(connection), ids).items()}


def counted(connection: Connection) -> dict[int, int]:
    rows = connection.execute(select(tables.kinds.c.id, tables.kinds.c.jobs))
    return {kind: jobs for kind, jobs in rows if jobs}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(facts(["a", "b"]), min_size=1, max_size=10), st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_order_in_any_batches_gives_the_same_rows(
    shared: Database, told: list[Fact], random: Random, size: int
) -> None:
    names = {name: f"{name}-{next(NUMBERS)}" for name in ("a", "b")}
    told = [msgspec.structs.replace(fact, id=names[fact.id]) for fact in told]
    expected = {job_id: fold(of) for job_id in names.values() if (of := [each for each in told if each.id == job_id])}
    order = told + told[::3]
    random.shuffle(order)
    with shared.write() as connection:
        for start in range(0, len(order), size):
            record(connection, gather(order[start : start + size]), NOW)
        assert recorded(connection, *names.values()) == expected


def test_jobs_are_counted_by_kind_as_they_move(shared: Database) -> None:
    with shared.read() as connection:
        rows = connection.execute(select(tables.jobs.c.kind)).scalars().all()
        assert counted(connection) == {kind: rows.count(kind) for kind in set(rows)}


def enqueued(job_id: str, attempt: int = 1, ready_at: float = 10.0) -> Enqueued:
    return Enqueued(job_id, "m:f", "q", 0, attempt, 10.0, ready_at, '{"args":[1]}')


def test_a_batch_that_is_not_committed_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        assert record(connection, gather([enqueued("a")]), NOW).new // 0
    with database.read() as connection:
        assert not recorded(connection, "a")
        assert not counted(connection)


def test_what_is_told_again_changes_nothing(database: Database) -> None:
    told: list[Fact] = [enqueued("a"), Started("a", "m:f", "q", 0, 1, 11.0, "w")]
    with database.write() as connection:
        first = record(connection, gather(told), NOW)
        again = record(connection, gather(told), NOW)
    assert (first.new, first.changed, again.new, again.changed) == (1, 0, 0, 0)


def test_every_attempt_that_was_not_the_last_has_a_row(database: Database) -> None:
    place = ("a", "m:f", "q", 0)
    told: list[Fact] = [
        AttemptEnded(*place, 1, 12.0, "w", "retry", "no", 11.0),
        GivenBack(*place, 2, 13.0, "w"),
        Ended(*place, 2, 14.0, JobState.DEAD, "v", error="no", error_type="ValueError"),
    ]
    with database.write() as connection:
        record(connection, gather(told), NOW)
        record(connection, gather(told[::-1]), NOW)
        found = connection.execute(select(tables.attempts).order_by("ended_at")).all()
    assert [(row.attempt, row.outcome, row.worker, row.error) for row in found] == [
        (1, "retry", "w", "no"),
        (2, "interrupted", "w", ""),
        (2, "dead", "v", "ValueError: no"),
    ]


def test_items_are_kept_as_they_came_and_once(database: Database) -> None:
    failed = {1: ItemFailure("no", "ValueError")}
    part = ItemsEnded("a", "m:f", "q", 0, 1, 12.0, {0: msgspec.Raw(b"[1]")}, failed)
    long = ItemsEnded("a", "m:f", "q", 0, 2, 13.0, {1: msgspec.Raw(b'"' + b"x" * 1_100_000 + b'"')})
    with database.write() as connection:
        record(connection, gather([part, part]), NOW)
        record(connection, gather([long, part]), NOW)
        found = connection.execute(select(tables.items.c.content).order_by("run")).scalars().all()
    assert found == [
        b'{"items":{"0":[1]},"failed":{"1":{"error":"no","error_type":"ValueError","traceback":""}}}',
        None,
    ]


def test_numbers_from_foreign_headers_fit(database: Database) -> None:
    odd = Enqueued("a", "m:f", "q", 0, 1 << 70, 10.0, 10.0, "", 1 << 70, 1 << 70, 1 << 70, 1 << 70)
    with database.write() as connection:
        record(connection, gather([odd]), NOW)
        assert recorded(connection, "a")["a"].failures == (1 << 31) - 1


def test_names_that_somebody_made_too_long_fit_into_the_indexes(database: Database) -> None:
    long = "".join(Random(1).choices([chr(each) for each in range(0x4E00, 0x9000)], k=9_000))
    told = AttemptEnded(long, long, long, 0, 1, 1.0, long, long)
    first = Enqueued(long, long, long, 0, 1, 1.0, 1.0, workflow=long, node=long)
    with database.write() as connection:
        record(connection, gather([told, first]), NOW)
    with database.read() as connection:
        assert connection.execute(select(tables.kinds.c.task)).scalar_one() == long[:333]
        assert connection.execute(select(tables.attempts.c.outcome)).scalar_one() == long[:85]


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or not (name or "").startswith("warren_texts")

    for module in Path(tables.__file__).parent.glob("tables_*.py"):
        importlib.import_module(f"warren.store.{module.stem}")
    options = {"include_name": ours, "version_table": VERSION_TABLE}
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    assert not differences


def test_a_file_of_sqlite_is_written_ahead(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    database.migrate()
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    database.close()
