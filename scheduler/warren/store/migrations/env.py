"""What Alembic runs around the revisions: on the connection, and in the transaction, that `warren.store.migrating` has."""

from alembic import context

from warren.store.migrating import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
