"""The index of texts: which jobs have a text in their arguments or their error.

Both databases look texts up by trigrams, every three characters that follow each other, each in its way: SQLite by FTS5,
PostgreSQL by arrays of numbers, which unlike pg_trgm need no extension and know one sign from another. Indexing takes longer
than recording, so it is done afterwards, whenever there is time (`index_texts`); what is not indexed yet is looked through row by row.

A job is one document of its arguments, and another of its error if it has one: numbers 2 x seq and 2 x seq + 1. Each has a word
for task and queue too, and one for its workflow, so that a search for one task does not pass by the documents of all others.
"""
# ruff: noqa: S608 - names of tables are ours, every value is a parameter

import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from warren.store.bulk import Bulk, array
from warren.store.database import folded
from warren.store.kinds import Kinds
from warren.store.tables_history import unindexed

Document = tuple[int, str, str]
"""Its number, its words, its text."""
TEXTS = "warren_texts"
SHORTEST = 3
"""Of a text that can be looked for."""
INDEXED_LENGTH = 2_000
"""As much of a text is found."""
_MOST_LOOKED_UP = 24
"""Trigrams of a text."""
NOTHING, ARGUMENTS, ERROR_MISSING, BOTH = 0, 1, 2, 3
"""What of a job is indexed. `warren_unindexed` has those of which it is `NOTHING` or `ERROR_MISSING`; of all others it is all there is."""
SETTLED_SECONDS = 10.0
"""A job that waits no longer than this is about to change, and not worth it."""
DONE_RANK = 3
ERROR = (
    "CASE WHEN j.ended_rank IS NULL THEN coalesce(j.last_error, '') "
    f"WHEN j.ended_rank = {DONE_RANK} THEN '' "
    "ELSE coalesce(j.reason, '') || ' ' || coalesce(j.error_type, '') || ' ' || coalesce(j.error, '') END"
)
"""What can be found of a job's error, in SQL; empty or blanks where there is none."""
OF_ARGUMENTS = " arguments"
"""A word that is no other's: it has a blank."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SIGNS = "!#$%&'()*+,-./:;<=>?@[]^_`{|}"
_OTHER = "~~~"
_PRIME, _GRAM_BITS = 1_000_003, 30


def index_texts(connection: Connection, now: float, limit: int = 1_000) -> int:
    """Index the texts of jobs that have none there yet, in a write transaction; return of how many.

    Args:
        connection: of a write transaction.
        now: jobs that wait are left alone for some seconds.
        limit: of jobs.
    """
    bulk = Bulk(connection)
    bulk.lock("history")
    kinds = Kinds(bulk)
    documents: list[Document] = []
    found = _unindexed(bulk, now, limit)
    for seq, kind, indexed, workflow, arguments, error in found:
        code = words(kinds.pair(*kinds.names(kind)), workflow)
        if indexed == NOTHING:
            documents.append((2 * seq, code, arguments))
        if error.strip():
            documents.append((2 * seq + 1, code, error))
    _add(bulk, documents)
    bulk.delete_in(unindexed.name, "seq", [seq for seq, *_ in found])
    return len(found)


def _unindexed(bulk: Bulk, now: float, limit: int) -> list[Sequence[Any]]:
    """Return the first jobs whose texts are yet to be indexed."""
    bulk.walk_indexes()
    return bulk.fetch(
        f"SELECT j.seq, j.kind, u.indexed, coalesce(j.workflow, ''), coalesce(j.payload, ''), {ERROR} FROM {late(bulk)} "
        f"WHERE j.finished_at IS NOT NULL OR j.enqueued_at < {float(now) - SETTLED_SECONDS!r} "
        f"ORDER BY u.seq LIMIT {int(limit)}",
        (),
    )


def late(bulk: Bulk) -> str:
    """Return whence jobs are read whose texts are yet to be indexed.

    SQLite reads the tables of a cross join in their order: left to itself it might begin with all jobs there are.
    """
    return f"{unindexed.name} u {'CROSS ' if bulk.is_sqlite else ''}JOIN warren_jobs j ON j.seq = u.seq"


def expect(bulk: Bulk, last: int) -> None:
    """Have the texts of jobs indexed that are numbered after `last`."""
    them = f"SELECT seq, {NOTHING} FROM warren_jobs WHERE seq > {bulk.mark}"
    # SQLite gives a number again when its row was the last, and somebody may have deleted that by hand.
    again = " ON CONFLICT (seq) DO UPDATE SET indexed = excluded.indexed" if bulk.is_sqlite else ""
    bulk.run(f"INSERT INTO {unindexed.name} (seq, indexed) {them}{again}", (last,))


def expect_again(bulk: Bulk, late: Sequence[tuple[int, int]]) -> None:
    """Have the texts of jobs indexed that have changed; each with what of it still is."""
    bulk.delete_in(unindexed.name, "seq", [seq for seq, _ in late])
    bulk.insert(unindexed.name, ("seq", "indexed"), late)


def expected(bulk: Bulk, numbers: Sequence[int]) -> dict[int, int]:
    """Return those of these jobs of which texts are yet to be indexed, with what already is."""
    return {row[0]: row[1] for row in bulk.select_in(f"SELECT seq, indexed FROM {unindexed.name} WHERE seq", numbers)}


def forget(bulk: Bulk, documents: Sequence[Document]) -> None:
    """Take documents (number, word, text) out of the index, each exactly as it was put there."""
    if bulk.is_sqlite:
        statement = f"INSERT INTO {TEXTS} ({TEXTS}, rowid, code, arguments, error) VALUES ('delete', ?, ?, ?, ?)"
        bulk.many(statement, _rows(documents))
    else:
        bulk.delete_in(TEXTS, "doc", [number for number, _, _ in documents])


def _add(bulk: Bulk, documents: Sequence[Document]) -> None:
    if not documents:
        return
    if bulk.is_sqlite:
        bulk.many(f"INSERT INTO {TEXTS} (rowid, code, arguments, error) VALUES (?, ?, ?, ?)", _rows(documents))
    else:
        # unnest flattens arrays of arrays: each travels as its text.
        rows = [
            (number, f"{{{','.join(map(str, [*map(gram, _marks(number, code)), *grams(text)]))}}}")
            for number, code, text in documents
        ]
        numbers, arrays = zip(*rows, strict=True)
        bulk.run(
            f"INSERT INTO {TEXTS} (doc, grams) SELECT d, g::int[] FROM unnest(%s::bigint[], %s::text[]) AS v(d, g) "
            "ON CONFLICT (doc) DO UPDATE SET grams = excluded.grams",
            (array(numbers), array(arrays)),
        )


def _marks(number: int, code: str) -> list[str]:
    """The words of a document, and of arguments the one by which those who look for no error find them alone."""
    return [*code.split(), *([] if number % 2 else [OF_ARGUMENTS])]


def _rows(documents: Sequence[Document]) -> list[tuple[int, str, str, str]]:
    """The error is in a column of its own: who looks for jobs that are done need not pass by it."""
    texts = [(number, code, indexable(text)) for number, code, text in documents]
    return [(number, code, "", text) if number % 2 else (number, code, text, "") for number, code, text in texts]


def words(pair: int, workflow: str) -> str:
    """Return the words of a job's documents: for its task and queue, and for its workflow if it has one."""
    return f"{word(pair)} {mark(workflow)}" if workflow else word(pair)


def mark(workflow: str) -> str:
    """Return the word of a workflow: three signs that no other word has; that two workflows have the same costs a look."""
    high, low = divmod(zlib.crc32(workflow.encode()) % len(_SIGNS) ** 3, len(_SIGNS))
    return f"{_SIGNS[high // len(_SIGNS)]}{_SIGNS[high % len(_SIGNS)]}{_SIGNS[low]}"


def word(pair: int) -> str:
    """Return the word of a task and queue, told by the least of their kinds: three characters, as the index has it."""
    if pair >= len(_DIGITS) ** 3:
        return _OTHER
    high, low = divmod(pair, len(_DIGITS))
    return f"{_DIGITS[high // len(_DIGITS)]}{_DIGITS[high % len(_DIGITS)]}{_DIGITS[low]}"


def indexable(text: str) -> str:
    """Return as much of a text as is indexed, and as it is."""
    return folded(text[:INDEXED_LENGTH])


def grams(text: str) -> list[int]:
    """Return the trigrams of a text as numbers, each once; two may have the same number, which costs a look."""
    codes = [ord(character) for character in indexable(text)]
    mask = (1 << _GRAM_BITS) - 1
    return list({((a * _PRIME + b) * _PRIME + c) & mask for a, b, c in zip(codes, codes[1:], codes[2:], strict=False)})


def cover(text: str) -> list[str]:
    """Return trigrams that together are all of a text, or of a long one enough: whoever has them most likely has the text.

    The others would only be looked up as well. The text has at least `SHORTEST` characters.
    """
    text = folded(text)
    last = len(text) - SHORTEST
    starts = [*range(0, last, SHORTEST), last]
    return [text[start : start + SHORTEST] for start in starts[:: -(-len(starts) // _MOST_LOOKED_UP)]]


def gram(code: str) -> int:
    """Return the number of a word, which no trigram has."""
    return -1 - (zlib.crc32(code.encode()) & ((1 << _GRAM_BITS) - 1))
