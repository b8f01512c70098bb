"""The tables of the history: jobs, what became of their attempts and items, and where the recorder is.

A job's row has its task, queue and state as one number, its *kind*. There are few kinds, so a list by any of the three is a
few walks along one index, from the newest on, and how many jobs there are of each is counted as they are written.
"""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, SmallInteger, Table, Text, text

from warren.store.tables import metadata

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number is of this type alone

kinds = Table(
    "warren_kinds",
    metadata,
    Column("id", _SEQUENCE, primary_key=True),
    Column("task", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("jobs", BigInteger, nullable=False, server_default="0"),
    Index("uq_warren_kinds_names", "task", "queue", "state", unique=True),
)
"""What jobs have in common, and how many have it."""

jobs = Table(
    "warren_jobs",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", BigInteger, nullable=False),
    Column("delayed", SmallInteger, nullable=False),
    Column("enqueued_at", Double, nullable=False),
    Column("first_run", BigInteger),
    Column("payload", Text),
    Column("items", Integer),
    Column("priority", Integer),
    Column("workflow", Text),
    Column("node", Text),
    Column("life", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("ready_attempt", Integer, nullable=False),
    Column("ready_at", Double, nullable=False),
    Column("error_attempt", Integer, nullable=False),
    Column("last_error", Text),
    Column("standing_attempt", Integer, nullable=False),
    Column("standing_stage", SmallInteger, nullable=False),
    Column("standing_at", Double, nullable=False),
    Column("running", SmallInteger, nullable=False),
    Column("started_attempt", Integer, nullable=False),
    Column("started_at", Double),
    Column("worker", Text),
    Column("progress_attempt", Integer, nullable=False),
    Column("progress_at", Double),
    Column("done", BigInteger),
    Column("total", BigInteger),
    Column("ended_attempt", Integer),
    Column("ended_rank", SmallInteger),
    Column("finished_at", Double),
    Column("value", Text),
    Column("reason", Text),
    Column("error", Text),
    Column("error_type", Text),
    Column("traceback", Text),
)
"""One row for a job, as `warren.store.merging` has it. PostgreSQL compares ids as bytes, which no other order of a text is as quick as."""
Index("ix_warren_jobs_kind", jobs.c.kind, jobs.c.enqueued_at, jobs.c.seq)
Index("ix_warren_jobs_enqueued", jobs.c.enqueued_at, jobs.c.seq)


def _partial(name: str, column: "Column[object]", where: str) -> None:
    Index(name, column, sqlite_where=text(where), postgresql_where=text(where))


_partial("ix_warren_jobs_finished", jobs.c.finished_at, "finished_at IS NOT NULL")
_partial("ix_warren_jobs_delayed", jobs.c.ready_at, "delayed = 1")
Index(
    "ix_warren_jobs_workflow",
    jobs.c.workflow,
    jobs.c.kind,
    jobs.c.enqueued_at,
    jobs.c.seq,
    sqlite_where=text("workflow IS NOT NULL"),
    postgresql_where=text("workflow IS NOT NULL"),
)

unindexed = Table(
    "warren_unindexed",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("indexed", SmallInteger, nullable=False),
)
"""Jobs of whose texts some are yet to be indexed, and what already is. Apart from the job, whose row would be written anew for it."""

attempts = Table(
    "warren_attempts",
    metadata,
    Column("job", Text, primary_key=True),
    Column("life", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("ended_at", Double, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("started_at", Double),
    Column("worker", Text, nullable=False),
    Column("error", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Attempts that were not the last of their job, and all that were no success: the last success is in the job's row."""

items = Table(
    "warren_items",
    metadata,
    Column("job", Text, primary_key=True),
    Column("run", BigInteger, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("content", LargeBinary),
    sqlite_with_rowid=False,
)
"""What became of items of a chunk, as it was told: JSON; nothing where it was too long."""

dropped = Table(
    "warren_dropped",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("at", Double, nullable=False),
)
"""Jobs that were here until the retention dropped them, in that order; of a UUID the 16 bytes."""

places = Table(
    "warren_places",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False, server_default="0"),
    Column("missed_at", Double),
)
"""How far each stream has been read, and how many of its messages were gone before they were."""
