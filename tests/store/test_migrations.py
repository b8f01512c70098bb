"""What an earlier version has kept is there after its tables were brought up to this one."""

import pytest
from alembic import command
from sqlalchemy import Connection, text
from tests.store.postgres import PostgresServer

from warren.store import migrating
from warren.store.bulk import Bulk
from warren.store.database import Database
from warren.store.history import indexed_of, known_jobs
from warren.store.searching import ARGUMENTS, BOTH, ERROR_MISSING, NOTHING, index_texts

NOW = 1_000.0
INDEXED = {"a": NOTHING, "b": ARGUMENTS, "c": ERROR_MISSING, "d": BOTH}
ENDED = "first_run, payload, ended_attempt, ended_rank, finished_at, reason, error"


@pytest.fixture
def empty(request: pytest.FixtureRequest, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database without tables."""
    if not store_url.startswith("postgresql"):
        return Database(f"sqlite:///{tmp_path_factory.mktemp('old') / 'warren.db'}")
    server: PostgresServer = request.getfixturevalue("postgres")
    return Database(server.url(server.make()))


def older(connection: Connection) -> None:
    """Make the tables as they were when a job's row said what of it was indexed, and four jobs of which different things were."""
    command.upgrade(migrating._config(connection), "0004_words")
    connection.execute(
        text("INSERT INTO warren_kinds (id, task, queue, state, jobs) VALUES (1, 'm:f', 'q', 'dead', 4)")
    )
    numbers = "life, attempt, failures, crashes, ready_attempt, ready_at, error_attempt"
    standing = "standing_attempt, standing_stage, standing_at, running, started_attempt, progress_attempt"
    for name, indexed in INDEXED.items():
        ended = "3, 20, NULL, NULL" if indexed == ARGUMENTS else "2, 20, 'failed', 'no luck'"
        connection.execute(
            text(
                f"INSERT INTO warren_jobs (id, kind, indexed, delayed, enqueued_at, {numbers}, {standing}, {ENDED}) "
                f"VALUES ('{name}', 1, {indexed}, 0, 10, 0, 1, 0, 0, 1, 10, 0, 1, 0, 0, 0, 0, 0, 1, 'some words', 1, {ended})"
            )
        )


def test_what_is_yet_to_be_indexed_is_known_after_the_mark_has_left_the_jobs(empty: Database) -> None:
    with empty.write() as connection:
        older(connection)
    empty.migrate()
    with empty.write() as connection:
        bulk = Bulk(connection)
        known = known_jobs(bulk, list(INDEXED))
        indexed = indexed_of(bulk, known.values())
        assert {name: indexed[job.seq] for name, job in known.items()} == INDEXED
        assert index_texts(connection, NOW) == 2
        assert index_texts(connection, NOW) == 0
    empty.close()
