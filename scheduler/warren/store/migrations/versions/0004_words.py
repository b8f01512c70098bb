"""The index of texts is made anew: a workflow's word in it is another."""

from alembic import op

revision = "0004_words"
down_revision = "0003_workflows"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty the index; a recorder fills it again behind its writes."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO warren_texts (warren_texts) VALUES ('delete-all')")
    else:
        op.execute("TRUNCATE warren_texts")
    op.execute("UPDATE warren_jobs SET indexed = 0 WHERE indexed <> 0")
