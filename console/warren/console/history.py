"""The history as commands of other things ask it, which work as well without one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from warren.console.output import say
from warren.console.store import opened
from warren.errors import StoreEmpty, StoreUnavailable
from warren.settings import Settings

if TYPE_CHECKING:
    from warren.store.asking import Dropped, Whole


def look_up(settings: Settings, ids: Sequence[str]) -> "dict[str, Whole | Dropped | None]":
    """Return what the history knows of jobs, None where nothing; nothing of any where there is no history.

    One that was named and cannot be asked is told in a line: the answer might have been another.
    """
    try:
        with opened(settings) as database:
            from warren.store.asking import one  # noqa: PLC0415 - where the libraries are there
            from warren.store.places import all_places  # noqa: PLC0415

            with database.read() as connection:
                return {job_id: one(connection, job_id) for job_id in ids} if all_places(connection) else {}
    except StoreEmpty:
        return {}
    except StoreUnavailable as error:
        if settings.store != Settings().store:
            say(f"the history was not asked: {error}")
        return {}
