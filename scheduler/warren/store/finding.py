"""Finding jobs by a text in their arguments or their error, the newest first.

Where the other filters leave few jobs, those are read one by one. Else the index of texts (`warren.store.searching`) says
which have it, from the newest on, and what is not indexed yet is read one by one.
"""
# ruff: noqa: S608 - names of tables and columns are ours, every value is a parameter

from dataclasses import dataclass
from typing import Any

from warren.states import JobState
from warren.store.bulk import Bulk
from warren.store.database import CONTAINS
from warren.store.kinds import Kind, pairs
from warren.store.searching import ERROR, INDEXED_LENGTH, OF_ARGUMENTS, TEXTS, cover, gram, grams, late, mark, word

FEW = 20_000
"""Jobs that are sooner read than looked up."""
NEAR, PASSED_BY = 5_000, 10
"""Of the newest jobs, in whose texts PostgreSQL looks one by one; where few fit otherwise, it passes by so many times as many."""
_MOST_WORDS = 16


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for; `kinds` is None for all, `waits` tells queued jobs from delayed ones, in SQL."""

    text: str
    kinds: tuple[Kind, ...] | None
    since: float | None
    until: float | None
    workflow: str
    waits: str


def find(bulk: Bulk, sought: Sought, limit: int, before: int | None) -> list[tuple[float, int]]:
    """Return moment and number of the newest jobs with a text, of those recorded before the number `before`."""
    where, values = _conditions(bulk, sought, before)
    few = _few(bulk, sought)
    if few:
        return _read(bulk, sought, (_along(bulk, few), where), values, limit)
    recent = _read(bulk, sought, (late(bulk), where), values, limit)
    look_up = _look_up_sqlite if bulk.is_sqlite else _look_up_postgres
    found = {seq: at for at, seq in (*recent, *look_up(bulk, sought, limit, before))}
    return [(found[seq], seq) for seq in sorted(found, reverse=True)[:limit]]


def _few(bulk: Bulk, sought: Sought) -> str:
    """Return the index by which the other filters leave few jobs; empty if none does."""
    if sought.kinds is not None and sum(kind.jobs for kind in sought.kinds) <= FEW:
        return "kind"
    bounds, values = _bounds(bulk, sought)
    if not bounds:
        return ""
    # A number that is wrong only in what costs how much: of a workflow alone, or of a time alone.
    index, some = ("workflow", slice(1)) if sought.workflow else ("enqueued", slice(None))
    where, only = " AND ".join(bounds[some]), values[some]
    statement = f"SELECT count(*) FROM (SELECT 1 FROM warren_jobs j WHERE {where} LIMIT {FEW + 1}) f"
    return index if int(bulk.fetch(statement, only)[0][0]) <= FEW else ""


def _bounds(bulk: Bulk, sought: Sought) -> tuple[list[str], tuple[Any, ...]]:
    conditions = {
        f"j.workflow = {bulk.mark}": sought.workflow or None,
        f"j.enqueued_at >= {bulk.mark}": sought.since,
        f"j.enqueued_at < {bulk.mark}": sought.until,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return list(given), tuple(given.values())


def _conditions(bulk: Bulk, sought: Sought, before: int | None) -> tuple[str, tuple[Any, ...]]:
    bounds, values = _bounds(bulk, sought)
    if sought.kinds is not None:
        bounds.append(f"j.kind IN ({', '.join(str(kind.id) for kind in sought.kinds)})")
    if sought.waits:
        bounds.append(sought.waits)
    if before is not None:
        bounds.append(f"j.seq < {int(before)}")
    return " AND ".join(bounds) or "TRUE", values


def _has_text(bulk: Bulk, sought: Sought) -> tuple[str, tuple[str, ...]]:
    places = (f"substr(coalesce(j.payload, ''), 1, {INDEXED_LENGTH})", f"substr({ERROR}, 1, {INDEXED_LENGTH})")
    if bulk.is_sqlite and not sought.text.isascii():  # its LIKE knows no other upper and lower case
        return f"({' OR '.join(f'{CONTAINS}({place}, ?)' for place in places)})", (sought.text,) * len(places)
    pattern = sought.text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    like = "LIKE" if bulk.is_sqlite else "ILIKE"
    told = " OR ".join(f"{place} {like} {bulk.mark} ESCAPE '\\'" for place in places)
    return f"({told})", (f"%{pattern}%",) * len(places)


def _read(
    bulk: Bulk, sought: Sought, by: tuple[str, str], values: tuple[Any, ...], limit: int, *, order: str = "j.seq + 0"
) -> list[tuple[float, int]]:
    """Look through jobs one by one, by a source and a condition: in the order of their numbers, if that is not said, it might be all."""
    source, where = by
    text, patterns = _has_text(bulk, sought)
    statement = (
        f"SELECT j.enqueued_at, j.seq FROM {source} WHERE {where} AND {text} ORDER BY {order} DESC LIMIT {limit}"
    )
    return [(at, seq) for at, seq in bulk.fetch(statement, (*values, *patterns))]


def _along(bulk: Bulk, index: str) -> str:
    return f"warren_jobs j INDEXED BY ix_warren_jobs_{index}" if bulk.is_sqlite else "warren_jobs j"


def _words(bulk: Bulk, sought: Sought) -> list[str]:
    """Return the words of the tasks and queues that are asked for; none where they are all, or many."""
    if sought.kinds is None:
        return []
    of = pairs(bulk.connection)
    asked = {of[kind.task, kind.queue] for kind in sought.kinds}
    return sorted(map(word, asked)) if len(asked) <= _MOST_WORDS and len(asked) < len(of) else []


def _has_no_error(sought: Sought) -> bool:
    """Whether it is in the arguments alone: a job that is done has no error."""
    return sought.kinds is not None and all(kind.state == JobState.DONE for kind in sought.kinds)


def _look_up_sqlite(bulk: Bulk, sought: Sought, limit: int, before: int | None) -> list[tuple[float, int]]:
    looked_up = " AND ".join(map(_phrase, cover(sought.text)))
    match = f"{'arguments' if _has_no_error(sought) else '{arguments error}'} : ({looked_up})"
    if words := _words(bulk, sought):
        match += f" AND code : ({' OR '.join(map(_phrase, words))})"
    if sought.workflow:
        match += f" AND code : {_phrase(mark(sought.workflow))}"
    where, values = _conditions(bulk, sought, None)
    text, patterns = _has_text(bulk, sought)
    # The join's order is ours: from the newest document on until there are enough. Two of them may be of one job.
    statement = (
        f"SELECT j.enqueued_at, j.seq FROM {TEXTS} CROSS JOIN warren_jobs j ON j.seq = {TEXTS}.rowid / 2 "
        f"WHERE {TEXTS} MATCH ? AND {TEXTS}.rowid < ? AND {where} AND {text} ORDER BY {TEXTS}.rowid DESC LIMIT {2 * limit}"
    )
    top = (1 << 62) if before is None else 2 * before
    return [(at, seq) for at, seq in bulk.fetch(statement, (match, top, *values, *patterns))]


def _phrase(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _look_up_postgres(bulk: Bulk, sought: Sought, limit: int, before: int | None) -> list[tuple[float, int]]:
    """Look at the newest jobs first, each: what many jobs have is among them. What few have, the index tells quickly.

    The planner cannot know which it is, as it takes trigrams for independent of each other.
    """
    last = bulk.fetch(f"SELECT max(doc) FROM {TEXTS}", ())[0][0]
    if last is None:
        return []
    top = last // 2 + 1 if before is None else min(last // 2 + 1, before)
    near = top - _near(bulk, sought)
    where, values = _conditions(bulk, sought, top)
    found = _read(bulk, sought, ("warren_jobs j", f"j.seq >= {near} AND {where}"), values, limit, order="j.seq")
    return found if len(found) >= limit else found + _of_documents(bulk, sought, near, limit)


def _near(bulk: Bulk, sought: Sought) -> int:
    """Return how many of the newest jobs are looked at: the more, the fewer of them have the right task, queue and state."""
    if sought.kinds is None:
        return NEAR
    of_all = bulk.fetch("SELECT sum(jobs) FROM warren_kinds", ())[0][0] or 1
    share = sum(kind.jobs for kind in sought.kinds) / float(of_all)
    return int(NEAR / max(share, 1 / PASSED_BY))


def _of_documents(bulk: Bulk, sought: Sought, before: int, limit: int) -> list[tuple[float, int]]:
    words = [gram(each) for each in _words(bulk, sought)]
    has_words = "t.grams && %s::int[] AND " if words else ""
    text, patterns = _has_text(bulk, sought)
    # What the index found is only looked at again: in this form the planner takes it for as likely as not.
    likely = f"CASE WHEN {text} THEN TRUE ELSE FALSE END"
    where, values = _conditions(bulk, sought, None)
    statement = (
        f"SELECT j.enqueued_at, j.seq FROM {TEXTS} t JOIN warren_jobs j ON j.seq = t.doc / 2 "
        f"WHERE {has_words}t.grams @> %s::int[] AND t.doc < {2 * before} AND {where} AND {likely} ORDER BY t.doc + 0 DESC LIMIT {2 * limit}"
    )
    its = [gram(mark(sought.workflow))] if sought.workflow else []
    its += [gram(OF_ARGUMENTS)] if _has_no_error(sought) else []
    wanted = (
        *([words] if words else []),
        [*its, *(number for each in cover(sought.text) for number in grams(each))],
    )
    bulk.prefer_bitmaps()
    return [(at, seq) for at, seq in bulk.fetch(statement, (*wanted, *values, *patterns))]
