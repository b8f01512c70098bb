"""Transactions, migrations and what is said when the database is not there, on SQLite and PostgreSQL."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.exc import OperationalError
from tests.store.postgres import PostgresServer

from warren.errors import InvalidSettings, StoreEmpty, StoreUnavailable
from warren.store.bulk import Bulk
from warren.store.database import Database
from warren.store.facts import Enqueued
from warren.store.gathering import gather
from warren.store.history import record
from warren.store.migrating import VERSION_TABLE, heads
from warren.store.tables_history import kinds

NUMBERS = Table("numbers", MetaData(), Column("number", Integer, primary_key=True))
MISSING = Table("missing", MetaData(), Column("number", Integer, primary_key=True))


@pytest.fixture
def numbers(database: Database) -> Database:
    with database.write() as connection:
        NUMBERS.create(connection)
    return database


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(NUMBERS)).scalar_one()


def test_what_was_written_is_read(numbers: Database) -> None:
    with numbers.write() as connection:
        connection.execute(insert(NUMBERS), [{"number": 1}, {"number": 2}])
    assert count(numbers) == 2


def test_a_transaction_that_raises_writes_nothing(numbers: Database) -> None:
    with suppress(ZeroDivisionError), numbers.write() as connection:
        connection.execute(insert(NUMBERS), [{"number": 1}])
        raise ZeroDivisionError
    assert count(numbers) == 0


def test_tables_are_made_in_a_transaction_too(database: Database) -> None:
    with suppress(ZeroDivisionError), database.write() as connection:
        NUMBERS.create(connection)
        raise ZeroDivisionError
    with database.read() as connection:
        assert not inspect(connection).has_table("numbers")


def test_writers_wait_for_each_other(numbers: Database) -> None:
    def add(start: int) -> None:
        for number in range(start, start + 20):
            with numbers.write() as connection:
                connection.execute(select(func.count()).select_from(NUMBERS)).scalar_one()
                connection.execute(insert(NUMBERS), [{"number": number}])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(add, (0, 100, 200)))
    assert count(numbers) == 60


def test_a_reader_does_not_wait_for_a_writer(numbers: Database) -> None:
    with numbers.write() as connection:
        connection.execute(insert(NUMBERS), [{"number": 1}])
        assert count(numbers) == 0
    assert count(numbers) == 1


def test_migrating_is_done_once_by_several_that_start_at_once(store_url: str) -> None:
    databases = [Database(store_url) for _ in range(4)]
    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(Database.migrate, databases))
    with databases[0].read() as connection:
        found = heads(connection)
    for database in databases:
        database.close()
    assert found == ("0005_unindexed",)


def test_several_migrate_an_empty_database_of_postgres_at_once(postgres: PostgresServer) -> None:
    name = postgres.make()
    test_migrating_is_done_once_by_several_that_start_at_once(postgres.url(name))
    postgres.drop(name)


def test_a_store_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999_later'")
    with pytest.raises(StoreUnavailable, match="newer"):
        database.migrate()


def test_tables_that_are_not_there_are_told_from_a_database_that_is_not(database: Database) -> None:
    with pytest.raises(StoreEmpty, match="warren recorder"), database.read() as connection:
        connection.execute(select(MISSING))


# --- what is wrong with a database -----------------------------------------------------------------------------------


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


def test_a_server_that_is_killed_is_told_and_used_again_when_it_is_back(own_postgres: PostgresServer) -> None:
    own_postgres.start()
    database = Database(own_postgres.url(own_postgres.make()))
    with database.write() as connection:
        NUMBERS.create(connection)
    own_postgres.stop(signal.SIGKILL)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        count(database)
    own_postgres.start()
    assert count(database) == 0
    database.close()


def test_a_server_that_is_not_there_is_one_line_without_its_password() -> None:
    database = Database("postgresql://me:secret@127.0.0.1:1/history")
    with pytest.raises(StoreUnavailable) as told, database.read():
        pass
    assert "postgresql://me:***@127.0.0.1:1/history" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_reading_makes_no_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreEmpty), database.read():
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        Database(f"sqlite:///{tmp_path / 'no' / 'warren.db'}").migrate()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are no tables\n" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Database(f"sqlite:///{file}").migrate()


def test_a_full_disk_is_a_store_that_is_away_also_for_many_rows(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    database.migrate()
    big = Enqueued("big", "m:f", "q", 0, 1, 1.0, 1.0, "x" * 8_000)
    many = [replace(big, id=str(number)) for number in range(200)]
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # no more than it has now, on this connection
    with pytest.raises(StoreUnavailable, match="full"), database.write() as connection:
        record(connection, gather(many), 1.0)
    database.close()


def test_rows_that_are_fetched_past_sqlalchemy_fail_alike(database: Database) -> None:
    with pytest.raises(StoreEmpty), database.read() as connection:
        Bulk(connection).fetch("SELECT seq FROM warren_nothing", ())


def test_a_database_that_gives_up_a_statement_is_to_be_tried_again(postgres_url: str) -> None:
    """As an operator's `pg_cancel_backend` does, a lock that is held too long, a full disk: no message is to blame for it."""
    database = Database(postgres_url)
    with pytest.raises(StoreUnavailable):
        _wait_too_long(database)
    database.close()


def _wait_too_long(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
        Bulk(connection).fetch("SELECT pg_sleep(10)", ())


def test_what_is_too_long_for_the_database_is_no_reason_to_wait_for_it(postgres_url: str) -> None:
    database = Database(postgres_url)
    name = "".join(random.Random(1).choices([chr(each) for each in range(0x4E00, 0x9000)], k=3_000))
    with pytest.raises(OperationalError, match="index row"), database.write() as connection:
        connection.execute(insert(kinds).values(task=name, queue="q", state="queued", jobs=0))
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://me:secret@here/db", "no url"])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="sqlite:///FILE") as told:
        Database(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("module", "url"), [("sqlalchemy", "sqlite:///x.db"), ("psycopg", "postgresql://me:secret@here/db")]
)
def test_a_missing_library_is_one_line_that_says_what_to_install(module: str, url: str) -> None:
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from warren.errors import StoreUnavailable\nfrom warren.store.opening import open_store\n"
        f"try:\n    open_store({url!r})\nexcept StoreUnavailable as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"pip install 'warren[{'store' if module == 'sqlalchemy' else 'postgres'}]'" in done.stdout
    assert "secret" not in done.stdout


def test_a_process_that_is_stopped_in_a_transaction_holds_its_locks_for_seconds_only(postgres_url: str) -> None:
    stopped, other = Database(postgres_url), Database(postgres_url)
    with stopped.write() as connection:
        NUMBERS.create(connection)
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "10s"

    def hold() -> None:
        with stopped.write() as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 200"))
            connection.execute(text("LOCK TABLE numbers"))
            with other.write() as waiting:
                waiting.execute(insert(NUMBERS), [{"number": 1}])
            connection.execute(select(NUMBERS))

    with pytest.raises(StoreUnavailable):
        hold()
    assert count(other) == 1
    for each in (stopped, other):
        each.close()
