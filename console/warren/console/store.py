"""The store, for commands that look into it: its libraries are imported when such a command is used."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from warren.settings import Settings

if TYPE_CHECKING:
    from warren.store.database import Database

F = TypeVar("F", bound=Callable[..., Any])


def store_option(function: F) -> F:
    """Add the option that names the store."""
    return click.option(
        "--store", metavar="URL", help="The database: sqlite:///FILE, or postgresql://user:password@host/name."
    )(function)


@contextmanager
def opened(settings: Settings, *, make: bool = False) -> Iterator["Database"]:
    """Open the store, and close it afterwards.

    Args:
        settings: name it.
        make: make its tables, if they are not there.

    Raises:
        StoreUnavailable: it cannot be opened, or a library is missing.
    """
    from warren.store.opening import open_store  # noqa: PLC0415 - only here

    database = open_store(settings.store)
    try:
        if make:
            database.migrate()
        yield database
    finally:
        database.close()
