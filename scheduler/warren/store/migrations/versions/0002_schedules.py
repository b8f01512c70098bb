"""The schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0002_schedules"
down_revision = "0001_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the schedules."""
    op.create_table(
        "warren_schedules",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("last_due", sa.Double, nullable=False),
        sa.Column("next_due", sa.Double),
        sa.Column("wake_at", sa.Double),
    )
    op.create_index("ix_warren_schedules_wake_at", "warren_schedules", ["wake_at"])
    op.create_table(
        "warren_fires",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("manual", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.Double, nullable=False),
        sa.Column("published_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.UniqueConstraint("schedule", "due", "manual", name="uq_warren_fires_schedule_due_manual"),
    )
    op.create_index("ix_warren_fires_state_schedule_due", "warren_fires", ["state", "schedule", "due"])
    op.create_index("ix_warren_fires_claimed_at", "warren_fires", ["claimed_at"])
