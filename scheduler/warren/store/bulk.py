"""Many rows in one statement, in the way each database is fastest: below SQLAlchemy's compiler, which costs more than the rows.

SQLite runs a prepared statement row by row. PostgreSQL takes each column as one array, and one that has the same value in every row,
as most have of jobs that are alike, as that value. Names of tables and columns are ours; every value is a parameter.
"""
# ruff: noqa: S608 - see above

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, LargeBinary, Text
from sqlalchemy.types import TypeEngine

from warren.store.tables import metadata

_VARIABLES = 10_000
"""SQLite takes 32,766 in a statement."""
_LOCKS = {"history": 0x7761727265 + 1}


@dataclass(frozen=True, slots=True)
class _Given:
    """Rows as a statement of PostgreSQL's takes them.

    Attributes:
        said: how it tells the value of each column.
        source: where it has the rows from.
        values: its parameters, first those of `said`.
    """

    said: Sequence[str]
    source: str
    values: tuple[Any, ...]


class Bulk:
    """One connection, in a write transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.mark = "?" if self.is_sqlite else "%s"
        """Where a parameter stands in a statement."""

    def lock(self, name: str) -> None:
        """Let nobody else with the same lock write until this transaction ends."""
        if not self.is_sqlite:
            self.connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCKS[name],))

    def walk_indexes(self) -> None:
        """Have PostgreSQL walk along indexes for the rest of this transaction: a page is short, whatever it thinks of the whole.

        It knows little of how many rows have a text, and would rather read all of both tables side by side, compiled and in parallel.
        """
        if not self.is_sqlite:
            off = ("enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_seqscan", "jit")
            settings = ", ".join(f"set_config('{name}', 'off', true)" for name in off)
            self.connection.exec_driver_sql(
                f"SELECT {settings}, set_config('max_parallel_workers_per_gather', '0', true)"
            )

    def prefer_bitmaps(self) -> None:
        """Let PostgreSQL gather rows by an index before it reads them, where it walks along indexes."""
        self.connection.exec_driver_sql("SELECT set_config('enable_bitmapscan', 'on', true)")

    def fetch(self, statement: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the rows of a statement."""
        # Past SQLAlchemy, which would wrap every row. As binary numbers, which neither side has to write out or to read.
        cursor = self.connection.connection.cursor(**({} if self.is_sqlite else {"binary": True}))
        try:
            cursor.execute(statement, tuple(values))
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def select_in(self, statement: str, among: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a statement that ends with the name of a column, which shall be one of `among`."""
        if not among:
            return
        if self.is_sqlite:
            for start in range(0, len(among), _VARIABLES):
                some = tuple(among[start : start + _VARIABLES])
                yield from self.fetch(f"{statement} IN ({', '.join('?' * len(some))})", some)
        else:
            yield from self.fetch(f"{statement} = ANY(%s::{_array(among[0])})", (array(among),))

    def delete_in(self, table: str, column: str, among: Sequence[Any]) -> None:
        """Delete the rows whose column is one of `among`."""
        if not among:
            return
        if self.is_sqlite:
            self.connection.exec_driver_sql(f"DELETE FROM {table} WHERE {column} = ?", [(each,) for each in among])
        else:
            wanted = f"DELETE FROM {table} WHERE {column} = ANY(%s::{_array(among[0])})"
            self.run(wanted, (array(among),))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, once: bool = False) -> None:
        """Insert rows; with `once`, those that are there already are left as they are."""
        if not rows:
            return
        names = ", ".join(columns)
        ignore = " ON CONFLICT DO NOTHING" if once else ""
        if self.is_sqlite:
            marks = ", ".join("?" * len(columns))
            self.many(f"INSERT INTO {table} ({names}) VALUES ({marks}){ignore}", rows)
        else:
            given = self._given(table, columns, rows)
            statement = f"INSERT INTO {table} ({names}) SELECT {', '.join(given.said)} FROM {given.source}{ignore}"
            self.run(statement, given.values)

    def update(self, table: str, by: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Update rows; each begins with the value of the column `by`, which tells which one is meant."""
        if not rows:
            return
        if self.is_sqlite:
            marks = ", ".join(f"{name} = ?" for name in columns)
            self.many(f"UPDATE {table} SET {marks} WHERE {by} = ?", [(*row[1:], row[0]) for row in rows])
        else:
            given = self._given(table, (by, *columns), rows)
            marks = ", ".join(f"{name} = {said}" for name, said in zip(columns, given.said[1:], strict=True))
            statement = f"UPDATE {table} AS t SET {marks} FROM {given.source} WHERE t.{by} = v.{by}"
            self.run(statement, given.values)

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement of SQLite's once for each row."""
        self.connection.connection.cursor().executemany(statement, rows)

    def run(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement that returns nothing."""
        # Past SQLAlchemy, which would wait for what it did.
        self.connection.connection.cursor().execute(statement, values)

    def add(self, table: str, column: str, amounts: Mapping[int, int]) -> None:
        """Add to a number in rows that are told by their id."""
        if self.is_sqlite:
            rows = [(amount, number) for number, amount in amounts.items()]
            self.many(f"UPDATE {table} SET {column} = {column} + ? WHERE id = ?", rows)
        else:
            statement = f"UPDATE {table} AS t SET {column} = t.{column} + v.amount FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, amount) WHERE t.id = v.id"  # noqa: E501
            self.connection.exec_driver_sql(statement, (list(amounts), list(amounts.values())))

    def _given(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> "_Given":
        """Return how values are written that every row has, and those that differ from row to row."""
        said: list[str] = []
        marks: list[str] = []
        arrays: dict[str, str] = {}
        same: list[Any] = []
        for name, column in zip(columns, zip(*rows, strict=True), strict=True):
            kind = metadata.tables[table].columns[name].type
            spelled = kind.compile(self.connection.dialect)
            if arrays and column[0] == column[-1] and column.count(column[0]) == len(column):
                said.append(f"%s::{spelled}")
                same.append(_spelled(kind, column[0]))
            else:  # the first always, which says how many rows there are
                said.append(f"v.{name}")
                arrays[name] = _literal(kind, column)
                marks.append(f"%s::{spelled}[]")
        source = f"unnest({', '.join(marks)}) AS v({', '.join(arrays)})"
        return _Given(said, source, (*same, *arrays.values()))


def _spelled(kind: TypeEngine[Any], value: Any) -> Any:
    """Return a value so that the statement is the same one whatever the number: it is prepared once."""
    return value if value is None or isinstance(kind, Text | LargeBinary) else str(value)


def _literal(kind: TypeEngine[Any], values: Sequence[Any]) -> str:
    """Return an array as PostgreSQL writes it; the driver would take five times as long."""
    if isinstance(kind, LargeBinary):
        words = ["NULL" if each is None else f'"\\\\x{each.hex()}"' for each in values]
    elif isinstance(kind, Text):
        words = ["NULL" if each is None else _quoted(each) for each in values]
    else:
        words = ["NULL" if each is None else str(each) for each in values]
    return f"{{{','.join(words)}}}"


def _quoted(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'


def _array(value: object) -> str:
    return "bytea[]" if isinstance(value, bytes) else "bigint[]" if isinstance(value, int) else "text[]"


def array(values: Sequence[Any]) -> str:
    """Return an array of numbers, bytes or texts, at least one of them, as PostgreSQL writes it."""
    kind = LargeBinary() if isinstance(values[0], bytes) else BigInteger() if isinstance(values[0], int) else Text()
    return _literal(kind, values)
