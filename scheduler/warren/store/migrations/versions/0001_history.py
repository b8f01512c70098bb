"""The history of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001_history"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of the history."""
    _kinds()
    _jobs()
    _indexes()
    _parts()
    _places()
    _texts()


def _kinds() -> None:
    op.create_table(
        "warren_kinds",
        sa.Column("id", SEQUENCE, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_warren_kinds"),
    )
    op.create_index("uq_warren_kinds_names", "warren_kinds", ["task", "queue", "state"], unique=True)


def _jobs() -> None:
    op.create_table(
        "warren_jobs",
        sa.Column("seq", SEQUENCE, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.BigInteger(), nullable=False),
        sa.Column("indexed", sa.SmallInteger(), nullable=False),
        sa.Column("delayed", sa.SmallInteger(), nullable=False),
        sa.Column("enqueued_at", sa.Double(), nullable=False),
        sa.Column("first_run", sa.BigInteger()),
        sa.Column("payload", sa.Text()),
        sa.Column("items", sa.Integer()),
        sa.Column("priority", sa.Integer()),
        sa.Column("workflow", sa.Text()),
        sa.Column("node", sa.Text()),
        *_of_its_life(),
        *_of_its_end(),
        sa.PrimaryKeyConstraint("seq", name="pk_warren_jobs"),
        sa.UniqueConstraint("id", name="uq_warren_jobs_id"),
    )


def _of_its_life() -> list[sa.Column[object]]:
    return [
        sa.Column("life", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("ready_attempt", sa.Integer(), nullable=False),
        sa.Column("ready_at", sa.Double(), nullable=False),
        sa.Column("error_attempt", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("standing_attempt", sa.Integer(), nullable=False),
        sa.Column("standing_stage", sa.SmallInteger(), nullable=False),
        sa.Column("standing_at", sa.Double(), nullable=False),
        sa.Column("running", sa.SmallInteger(), nullable=False),
        sa.Column("started_attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("worker", sa.Text()),
        sa.Column("progress_attempt", sa.Integer(), nullable=False),
        sa.Column("progress_at", sa.Double()),
        sa.Column("done", sa.BigInteger()),
        sa.Column("total", sa.BigInteger()),
    ]


def _of_its_end() -> list[sa.Column[object]]:
    return [
        sa.Column("ended_attempt", sa.Integer()),
        sa.Column("ended_rank", sa.SmallInteger()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("value", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("error_type", sa.Text()),
        sa.Column("traceback", sa.Text()),
    ]


def _indexes() -> None:
    _index("delayed", "ready_at", where="delayed = 1")
    _index("enqueued", "enqueued_at", "seq")
    _index("finished", "finished_at", where="finished_at IS NOT NULL")
    _index("kind", "kind", "enqueued_at", "seq")
    _index("unindexed", "seq", where="indexed IN (0, 2)")
    _index("workflow", "workflow", "kind", "enqueued_at", "seq", where="workflow IS NOT NULL")


def _index(name: str, *columns: str, where: str = "") -> None:
    only = sa.text(where) if where else None
    op.create_index(f"ix_warren_jobs_{name}", "warren_jobs", list(columns), sqlite_where=only, postgresql_where=only)


def _parts() -> None:
    op.create_table(
        "warren_attempts",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("life", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "life", "attempt", "ended_at", "outcome", name="pk_warren_attempts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "warren_items",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("job", "run", "digest", name="pk_warren_items"),
        sqlite_with_rowid=False,
    )


def _places() -> None:
    op.create_table(
        "warren_places",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("missed_at", sa.Double()),
        sa.PrimaryKeyConstraint("stream", name="pk_warren_places"),
    )
    op.create_table(
        "warren_dropped",
        sa.Column("seq", SEQUENCE, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_warren_dropped"),
        sa.UniqueConstraint("id", name="uq_warren_dropped_id"),
    )


def _texts() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE warren_texts USING fts5 (code, arguments, error, content='', tokenize='trigram')"
        )
    else:
        op.execute("CREATE TABLE warren_texts (doc bigint PRIMARY KEY, grams integer[] NOT NULL)")
        op.execute("CREATE INDEX ix_warren_texts_grams ON warren_texts USING gin (grams)")
