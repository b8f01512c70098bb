"""The index of texts is made anew: a workflow's word in it is another."""

from alembic import op

revision = "0004_words"
down_revision = "0003_workflows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty the index; a recorder fills it again behind its writes."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        op.execute("SELECT pg_advisory_xact_lock(512735998566)")  # as recorders do: none of them is at work meanwhile
    op.execute("UPDATE warren_jobs SET indexed = 0 WHERE indexed <> 0")
    # Last: whoever searches waits for it.
    op.execute(
        "INSERT INTO warren_texts (warren_texts) VALUES ('delete-all')" if is_sqlite else "TRUNCATE warren_texts"
    )
