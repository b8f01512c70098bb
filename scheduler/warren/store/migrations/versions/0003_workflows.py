"""The workflows."""

import sqlalchemy as sa
from alembic import op

revision = "0003_workflows"
down_revision = "0002_schedules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the workflows."""
    op.create_table(
        "warren_workflows",
        sa.Column("id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("settled", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_warren_workflows"),
    )
    op.create_index("ix_warren_workflows_created_at", "warren_workflows", ["created_at"])
    op.create_index("ix_warren_workflows_state_created_at", "warren_workflows", ["state", "created_at"])
    op.create_table(
        "warren_workflow_outputs",
        sa.Column("workflow_id", sa.Text),
        sa.Column("node", sa.Text),
        sa.Column("run", sa.Integer),
        sa.Column("place", sa.Integer),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "node", "run", "place", name="pk_warren_workflow_outputs"),
    )
    op.create_table(
        "warren_workflow_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("noted_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_warren_workflow_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_warren_workflow_outbox_workflow_id", "warren_workflow_outbox", ["workflow_id"])
