"""One database, SQLite's file or PostgreSQL: transactions that write or read, migrations, and errors a person can act on.

SQLite writes one transaction at a time. So that two writers wait for each other at the beginning, and none finds at the
end that what it read has changed, a write transaction begins as one (`BEGIN IMMEDIATE`). Readers never wait (WAL).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from warren.errors import InvalidSettings, StoreEmpty, StoreUnavailable

_BUSY_SECONDS = 30.0
"""How long a SQLite transaction waits for another's end."""
_CONNECT_SECONDS = 5
_SILENT_MS = 30_000
"""After which a PostgreSQL host that acknowledges nothing is given up."""
_STOPPED_MS = 10_000
"""After which PostgreSQL ends a transaction of whoever does nothing in it, as a process that was stopped: it holds locks."""
_CACHE_KIB = 65_536
_WRITES = "warren_writes"
CONTAINS = "warren_contains"
"""A function of SQLite's connections: whether a text has another in it, upper and lower case of every script alike."""


class Database:
    """The store's connections; usable from several threads, each `read` or `write` from one.

    Args:
        url: `sqlite:///FILE` or `postgresql://user:password@host/name`; nothing is opened yet.

    Raises:
        InvalidSettings: it is no such URL.
        StoreUnavailable: the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _url(url)
        self.said = self.url.render_as_string(hide_password=True).replace("+psycopg", "")
        """The URL as it may be told, without its password."""
        self._engine = _engine(self.url, self.said)
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open one transaction that may write: committed at the end, rolled back if anything is raised.

        Raises:
            StoreUnavailable: the database cannot be reached or does not take it; nothing was written.
            StoreEmpty: it has no tables of ours, or older ones.
        """
        with (
            self._translated(),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one transaction that only reads; the errors are those of `write`."""
        if self._file is not None and not self._file.exists():
            raise StoreEmpty(self.said)  # SQLite would make an empty one
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    def migrate(self) -> None:
        """Make the tables, or bring them up to this version of Warren; when several do that at once, one does it.

        Raises:
            StoreUnavailable: the database cannot be reached or changed.
        """
        from warren.store.migrating import upgrade  # noqa: PLC0415 - Alembic is slow to import, and reading needs none

        if self.is_sqlite:
            self._use_wal()
        with self.write() as connection:
            upgrade(connection, self.said)

    def close(self) -> None:
        """Close every connection; the next transaction opens a new one."""
        self._engine.dispose()

    @property
    def _file(self) -> Path | None:
        return Path(self.url.database or "") if self.is_sqlite else None

    def _use_wal(self) -> None:
        """The mode stays with the file. Changing it is no transaction and needs the file alone."""
        with self._translated(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        # The second of what goes past SQLAlchemy, see `warren.store.bulk`.
        except (exc.DBAPIError, self._driver_error) as error:
            original = (error.orig or error) if isinstance(error, exc.DBAPIError) else error
            if (meant := _meaning(original, self.said)) is None:
                raise
            raise meant from error
        except exc.TimeoutError as error:
            raise StoreUnavailable(self.said, "all of its connections are in use") from error


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except exc.ArgumentError as error:
        raise InvalidSettings(("setting 'store' is no URL; take sqlite:///FILE or postgresql://…",)) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    said = url.render_as_string(hide_password=True)
    raise InvalidSettings(
        (f"setting 'store' is {said!r}; take sqlite:///FILE or postgresql://user:password@host/name",)
    )


def _engine(url: URL, said: str) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": _BUSY_SECONDS} if sqlite else _postgres_arguments(url)
    try:
        engine = create_engine(url, connect_args=arguments)
    except ModuleNotFoundError as error:
        why = "its driver is not installed: pip install 'warren[postgres]'"
        raise StoreUnavailable(said, why) from error
    if sqlite:
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begins)
    return engine


def _postgres_arguments(url: URL) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": _SILENT_MS,
        "keepalives_idle": _SILENT_MS // 1000,
        "application_name": "warren",
        "options": f"-c idle_in_transaction_session_timeout={_STOPPED_MS}",
    }
    return {name: value for name, value in defaults.items() if name not in url.query}


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself: `_sqlite_begins` does
    connection.create_function(CONTAINS, 2, _contains, deterministic=True)
    # FULL: what is committed survives a power cut also in WAL mode.
    for pragma in ("synchronous = FULL", "foreign_keys = ON", f"cache_size = -{_CACHE_KIB}", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def folded(text: str) -> str:
    """Return a text as it is compared: in lower case, whatever stands beside a letter (a sigma at a word's end is one, too)."""
    return text.lower().replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")


def _contains(text: str, sought: str) -> bool:
    return folded(sought) in folded(text)


def _sqlite_begins(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITES) else "BEGIN")


_NO_TABLE = ("no such table", "no such column", "no such index", "has no column", "UndefinedTable", "UndefinedColumn")
_OURS = {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"}
"""Kinds of errors, as every driver names them, that come again however often it is tried."""
_LIMIT_EXCEEDED = "54"
"""PostgreSQL's class of what is too long or too much for it, among its operational errors."""


def _meaning(error: BaseException, said: str) -> StoreUnavailable | StoreEmpty | None:
    """Return what a driver's error means to whoever uses the store; None for a mistake of ours."""
    why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    kind = f"{type(error).__name__} {why}"
    if any(each in kind for each in _NO_TABLE):
        return StoreEmpty(said)
    ours = any(each.__name__ in _OURS for each in type(error).__mro__)
    limit = str(getattr(error, "sqlstate", None) or "").startswith(_LIMIT_EXCEEDED)
    return None if ours or limit else StoreUnavailable(said, why)
