"""Kinds of jobs, task, queue and state in one number, and how many jobs there are of each: counted as they are written."""

from collections import Counter

from sqlalchemy import Connection, insert, select, update

from warren.states import JobState
from warren.store.tables_history import kinds


class Kinds:
    """The kinds as they are in one write transaction, which alone can know them all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids: dict[tuple[str, str, str], int] = {}
        self._more: Counter[int] = Counter()
        for number, *names in connection.execute(select(kinds.c.id, kinds.c.task, kinds.c.queue, kinds.c.state)):
            task, queue, state = names
            self._ids[task, queue, state] = number

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
        """Return the least kind of a task and queue, which stands for both for ever: no kind is ever deleted."""
        return min((number for names, number in self._ids.items() if names[:2] == (task, queue)), default=0)

    def save(self) -> None:
        """Write the counts."""
        for number, more in sorted(self._more.items()):
            if more:
                statement = update(kinds).where(kinds.c.id == number).values(jobs=kinds.c.jobs + more)
                self._connection.execute(statement)
        self._more.clear()

    def _id(self, task: str, queue: str, state: JobState) -> int:
        names = task, queue, state.value
        number = self._ids.get(names)
        if number is None:
            made = insert(kinds).values(task=task, queue=queue, state=state.value, jobs=0).returning(kinds.c.id)
            number = self._connection.execute(made).scalar_one()
            self._ids[names] = number
        return number
