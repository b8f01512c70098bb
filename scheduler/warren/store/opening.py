"""Opening the store where its libraries may be missing: they are an extra, `warren[store]`."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from warren.errors import StoreUnavailable

if TYPE_CHECKING:
    from warren.store.database import Database

_EXTRA = frozenset({"sqlalchemy", "alembic", "apscheduler"})


def libraries_are_installed() -> bool:
    """Whether the extra is, without importing any of it."""
    return all(find_spec(name) is not None for name in _EXTRA)


def open_store(url: str) -> "Database":
    """Return the database of a URL, which nothing has connected to yet.

    Raises:
        InvalidSettings: it is no URL of a store.
        StoreUnavailable: a library is missing.
    """
    try:
        from warren.store.database import Database  # noqa: PLC0415 - a missing extra is told here, as one line
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        why = f"{error.name} is not installed: pip install 'warren[store]'"
        raise StoreUnavailable(url.rpartition("@")[2], why) from error
    return Database(url)
