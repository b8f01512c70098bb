"""The tables of workflows: where each is, what its nodes returned, and what is still to be done about it."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text

from warren.store.tables import PREFIX, metadata

workflows = Table(
    f"{PREFIX}workflows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("settled", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("definition", Text, nullable=False),  # JSON; never changes
    Column("progress", Text, nullable=False),  # JSON; all that does
)
"""Beside the two documents only what is listed and looked for."""
Index(None, workflows.c.created_at)
Index(None, workflows.c.state, workflows.c.created_at)

outputs = Table(
    f"{PREFIX}workflow_outputs",
    metadata,
    Column("workflow_id", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("run", Integer, primary_key=True),
    Column("place", Integer, primary_key=True),  # of a chunk in its map; else 0
    Column("value", Text, nullable=False),  # JSON
)
"""What nodes returned, where somebody takes it: once for each run, whatever comes again."""

outbox = Table(
    f"{PREFIX}workflow_outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("workflow_id", Text, nullable=False),
    Column("action", Text, nullable=False),  # JSON
    Column("noted_at", Float, nullable=False),
    sqlite_autoincrement=True,
)
"""What follows from a change, written in its transaction, and removed when it is done."""
Index(None, outbox.c.workflow_id)
