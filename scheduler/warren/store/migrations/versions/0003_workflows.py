"""The workflows."""

revision = "0003_workflows"
down_revision = "0002_schedules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the workflows."""
