"""What is yet to be indexed of jobs' texts has a table of its own; PostgreSQL compares ids as bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0005_unindexed"
down_revision = "0004_words"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table of what is marked in the jobs' rows, and remove the mark."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        op.execute("SELECT pg_advisory_xact_lock(512735998566)")  # as recorders do: none of them is at work meanwhile
    op.create_table(
        "warren_unindexed",
        sa.Column("seq", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("indexed", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_warren_unindexed"),
    )
    op.execute(
        "INSERT INTO warren_unindexed (seq, indexed) SELECT seq, indexed FROM warren_jobs WHERE indexed IN (0, 2)"
    )
    op.drop_index("ix_warren_jobs_unindexed", "warren_jobs")
    op.drop_column("warren_jobs", "indexed")
    if not is_sqlite:
        op.execute('ALTER TABLE warren_jobs ALTER COLUMN id TYPE text COLLATE "C"')
