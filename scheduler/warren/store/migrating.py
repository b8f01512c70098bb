"""Bringing a database's tables up to this version, by Alembic, inside the transaction it is given."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from warren.errors import StoreUnavailable

VERSION_TABLE = "warren_version"
"""Not Alembic's own name: an application that shares the database may use Alembic too."""
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x77617272656E
"""PostgreSQL's advisory lock of whoever migrates; any number will do."""


def upgrade(connection: Connection, said: str) -> None:
    """Run the migrations that are missing; whoever else does so at the same time waits and finds nothing to do.

    Raises:
        StoreUnavailable: the tables are of a newer Warren.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config(connection)
    if set(ScriptDirectory.from_config(config).get_heads()) == set(heads(connection)):
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        why = f"its tables are of another version of Warren, probably a newer one: upgrade this one ({error})"
        raise StoreUnavailable(said, why) from error


def heads(connection: Connection) -> tuple[str, ...]:
    """Return the revision that a database is at; nothing for one without tables of ours."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
