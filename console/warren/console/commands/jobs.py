"""`warren jobs`: what the history knows."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.listing import listing
from warren.console.output import clock, emit, iso, plural, say
from warren.console.store import opened, store_option
from warren.console.values import ago
from warren.errors import JobUnknown, ResultExpired
from warren.states import JobState

if TYPE_CHECKING:
    from sqlalchemy import Connection

F = TypeVar("F", bound=Callable[..., Any])

_FILTERS = (
    ("--task", "NAME", "Only of this task; * and ? stand for anything."),
    ("--queue", "NAME", "Only of this queue; likewise."),
    ("--text", "TEXT", "Only with this in the arguments or the error; three characters at least."),
    ("--workflow", "ID", "Only of this workflow."),
)


def filters(function: F) -> F:
    """Add the options that choose jobs by a name or a text."""
    for name, metavar, what in reversed(_FILTERS):
        function = click.option(name, metavar=metavar, help=what)(function)
    return function


@click.group("jobs", cls=Group)
def command() -> None:
    """List the jobs of the history by any filters, or look at one.

    The history is what `warren recorder` has written into the store: every job that was enqueued while one ran, or since its
    backlog reaches back. Jobs that ended leave it by age and number (`history_age`, `history_jobs`).
    """


@command.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in JobState]),
    help="Repeat it for more.",
)
@filters
@click.option(
    "--since", callback=ago, metavar="MOMENT", help="Enqueued then or later: 2h, 7d, or 2030-12-24T18:00 (UTC)."
)
@click.option("--until", callback=ago, metavar="MOMENT", help="Enqueued before.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many.")
@click.option("--after", metavar="PLACE", help="Those that follow a page; it says where it ends.")
@store_option
@pass_invocation
def list_(
    invocation: Invocation,
    /,
    states: tuple[str, ...],
    limit: int,
    after: str | None,
    store: str | None,
    **given: Any,
) -> None:
    """List jobs, the newest first."""
    now = time.time()
    with opened(invocation.settings(store=store)) as database:
        from warren.console import jobs_telling as telling  # noqa: PLC0415 - needs the store's libraries
        from warren.store.asking import Cursor, Filter, count, page  # noqa: PLC0415

        kept = {name: value for name, value in given.items() if value is not None}
        wanted = Filter(states=frozenset(map(JobState, states)), **kept)
        with database.read() as connection:
            found = page(connection, wanted, now, limit=limit, after=Cursor.read(after) if after else None)
            counts, missed = count(connection, now), _missed(connection)
    if invocation.json:
        documents = [telling.document(record, now) for record in found.jobs]
        emit({"jobs": documents, "next": str(found.next) if found.next else None, "counts": counts, **missed})
        return
    if found.jobs:
        listing(telling.COLUMNS, [telling.row(record, now) for record in found.jobs])
    say(telling.summary(found.jobs, counts, str(found.next or ""), _warning(missed)))


def _missed(connection: "Connection") -> dict[str, Any]:
    """Return how many messages were gone before a recorder read them, and when that was last seen."""
    from warren.store.places import all_places  # noqa: PLC0415 - needs the store's libraries

    places = all_places(connection).values()
    moments = [place.missed_at for place in places if place.missed_at is not None]
    return {
        "recorded": bool(places),
        "missed": sum(place.missed for place in places),
        "missed_at": iso(max(moments)) if moments else None,
    }


def _warning(missed: dict[str, Any]) -> str:
    if not missed["recorded"]:
        return "no recorder has ever written into this store: start `warren recorder`"
    if not missed["missed"]:
        return ""
    when = str(missed["missed_at"])[:19].replace("T", " ")
    return (
        f"the history has a gap: {plural(missed['missed'], 'message')} were dropped before a recorder read them, "
        f"the last on {when} UTC; jobs may be missing, or told in a state that is over"
    )


@command.command("show")
@click.argument("job_id", metavar="ID")
@store_option
@pass_invocation
def show(invocation: Invocation, /, job_id: str, store: str | None) -> None:
    """Show all that is known of the job ID: arguments, attempts, result, traceback."""
    with opened(invocation.settings(store=store)) as database:
        from warren.console import jobs_telling as telling  # noqa: PLC0415 - needs the store's libraries
        from warren.store.asking import Dropped, one  # noqa: PLC0415

        with database.read() as connection:
            found = one(connection, job_id)
    if found is None:
        raise JobUnknown(job_id)
    if isinstance(found, Dropped):
        raise ResultExpired(job_id, f"{clock(found.at)} UTC")
    if invocation.json:
        emit(telling.whole(found, time.time()))
    else:
        telling.show(found, time.time())
