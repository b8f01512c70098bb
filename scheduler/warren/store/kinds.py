"""Kinds of jobs, task, queue and state in one number, and how many jobs there are of each: counted as they are written."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from warren.states import JobState
from warren.store.bulk import Bulk
from warren.store.tables_history import kinds


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind, and how many jobs are of it."""

    id: int
    task: str
    queue: str
    state: JobState
    jobs: int


def all_kinds(connection: Connection) -> list[Kind]:
    """Return every kind there ever was."""
    rows = connection.execute(select(kinds))
    return [Kind(row.id, row.task, row.queue, JobState(row.state), row.jobs) for row in rows]


def pairs(connection: Connection) -> dict[tuple[str, str], int]:
    """Return the number that stands for each task and queue: the least of their kinds, for ever, as no kind is ever deleted."""
    rows = connection.execute(
        select(kinds.c.task, kinds.c.queue, func.min(kinds.c.id)).group_by(kinds.c.task, kinds.c.queue)
    )
    return {(task, queue): number for task, queue, number in rows}


class Kinds:
    """The kinds as they are now; only in a write transaction can they all be known."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._ids: dict[tuple[str, str, str], int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._pairs: dict[tuple[str, str], int] = {}
        self._more: Counter[int] = Counter()
        for number, task, queue, state in bulk.fetch(f"SELECT id, task, queue, state FROM {kinds.name}", ()):  # noqa: S608
            self._know(number, task, queue, state)

    def count(self, task: str, queue: str, state: JobState) -> int:
        """Return the kind of one more job."""
        number = self._id(task, queue, state)
        self._more[number] += 1
        return number

    def move(self, before: int, task: str, queue: str, state: JobState) -> int:
        """Return the kind of a job that was of another, or of the same."""
        number = self._id(task, queue, state)
        if number != before:
            self._more[number] += 1
            self._more[before] -= 1
        return number

    def forget(self, kind: int, jobs: int) -> None:
        """Count so many jobs less."""
        self._more[kind] -= jobs

    def pair(self, task: str, queue: str) -> int:
        """Return the number that stands for a task and queue, see `pairs`."""
        return self._pairs.get((task, queue), 0)

    def names(self, kind: int) -> tuple[str, str]:
        """Return task and queue of a kind."""
        return self._names[kind]

    def save(self) -> None:
        """Write the counts."""
        more = {number: amount for number, amount in sorted(self._more.items()) if amount}
        if more:
            self._bulk.add(kinds.name, "jobs", more)
        self._more.clear()

    def _id(self, task: str, queue: str, state: JobState) -> int:
        names = task, queue, state.value
        number = self._ids.get(names)
        if number is None:
            marks = ", ".join([self._bulk.mark] * 3)
            made = f"INSERT INTO {kinds.name} (task, queue, state, jobs) VALUES ({marks}, 0) RETURNING id"  # noqa: S608
            number = int(self._bulk.fetch(made, names)[0][0])
            self._know(number, *names)
        return number

    def _know(self, number: int, task: str, queue: str, state: str) -> None:
        self._ids[task, queue, state] = number
        self._names[number] = task, queue
        self._pairs[task, queue] = min(number, self._pairs.get((task, queue), number))
