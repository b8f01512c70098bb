"""The history of jobs."""

revision = "0001_history"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the history."""
