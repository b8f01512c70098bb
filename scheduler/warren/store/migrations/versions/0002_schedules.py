"""The schedules."""

revision = "0002_schedules"
down_revision = "0001_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the schedules."""
