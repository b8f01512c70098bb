"""Many rows in one statement come to the same in both databases."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select

from warren.store.bulk import Bulk
from warren.store.database import Database
from warren.store.tables_history import attempts, dropped

FIRST = ("a", 0, 1, 2.5, "retry", None, 'say "\\"', "{NULL,\t}")


def kept(connection: Connection) -> list[Sequence[Any]]:
    return [tuple(row) for row in connection.execute(select(attempts).order_by(*attempts.primary_key))]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [(*FIRST[:1], 1, *FIRST[2:])],
        [("b", *FIRST[1:]), ("c", *FIRST[1:])],
        [("b", 7, 8, 9.25, "lost", 1e-3, "", "none")],
        [("b", *FIRST[1:5], 1.5, *FIRST[6:]), ("c", *FIRST[1:])],
    ],
    ids=["alone", "all alike but one number", "alike", "different", "alike at both ends"],
)
def test_rows_are_inserted_whatever_they_have_alike(database: Database, others: list[tuple[Any, ...]]) -> None:
    with database.write() as connection:
        Bulk(connection).insert(attempts.name, attempts.columns.keys(), [FIRST, *others])
        assert kept(connection) == [FIRST, *others]


def test_rows_are_updated_whatever_they_have_alike(database: Database) -> None:
    with database.write() as connection:
        bulk = Bulk(connection)
        bulk.insert(attempts.name, attempts.columns.keys(), [(name, *FIRST[1:]) for name in "abc"])
        bulk.update(
            attempts.name, "job", ("worker", "error", "started_at"), [("a", "w", "1", None), ("c", "w", "2", None)]
        )
        assert [(row[0], *row[5:]) for row in kept(connection)] == [
            ("a", None, "w", "1"),
            ("b", *FIRST[5:]),
            ("c", None, "w", "2"),
        ]


def test_bytes_that_are_alike_are_kept_as_they_are(database: Database) -> None:
    with database.write() as connection:
        bulk = Bulk(connection)
        bulk.insert(dropped.name, ("at", "id"), [(1.0, b"\x00\\x")])
        assert [bytes(each) for each in connection.execute(select(dropped.c.id)).scalars()] == [b"\x00\\x"]
