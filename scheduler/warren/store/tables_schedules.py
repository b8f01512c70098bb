"""Tables of schedules, and of the times they fired."""

from sqlalchemy import Boolean, Column, Double, Index, Table, Text, UniqueConstraint

from warren.store.tables import PREFIX, metadata

schedules = Table(
    f"{PREFIX}schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("schedule", Text, nullable=False),  # JSON of warren.schedule.Schedule, as it was declared or made
    Column("paused", Boolean, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_due", Double, nullable=False),
    Column("next_due", Double),
    Column("wake_at", Double),
    Index(None, "wake_at"),
)

fires = Table(
    f"{PREFIX}fires",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("schedule", Text, nullable=False),
    Column("due", Double, nullable=False),
    Column("manual", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("job", Text, nullable=False),  # JSON of warren.schedule.Order, as it was when this was claimed
    Column("claimed_at", Double, nullable=False),
    Column("published_at", Double),
    Column("ended_at", Double),
    UniqueConstraint("schedule", "due", "manual"),
    Index(None, "state", "schedule", "due"),
    Index(None, "claimed_at"),
)
