"""`warren dead`: jobs that will not run again by themselves."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from warren.console import dead_acting, dead_telling
from warren.console.broker import connected
from warren.console.dead_acting import Tally, Work
from warren.console.dead_reading import Reading, Wanted
from warren.console.failing import FAILED, NotFound
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.output import emit, plural, say, shortened, table
from warren.console.progress import progress
from warren.console.values import finite
from warren.dead_letter import DeadLetter
from warren.settings import Settings
from warren.topology import Names

F = TypeVar("F", bound=Callable[..., Any])

_LISTED_ERROR = 200


@click.group("dead", cls=Group)
def command() -> None:
    """List, show, replay or drop dead letters.

    A dead letter is a job that will not run again by itself, kept with its reason and evidence until it is replayed or
    dropped. Looking at one does not change it; two people who look at once may each see only a part.
    """


def filters(function: F) -> F:
    """Add the options that choose letters; * and ? stand for anything."""
    for name, what in (
        ("--reason", "Why they died: failed, crashed, expired, undecodable, unknown_task, …"),
        ("--task", "Only of this task; * and ? stand for anything."),
        ("--queue", "Only from this queue."),
    ):
        function = click.option(name, metavar="PATTERN", help=what)(function)
    return function


@command.command("list")
@filters
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many.")
@pass_invocation
def list_(invocation: Invocation, /, limit: int, **given: Any) -> None:
    """List dead letters, oldest first. Of more than --limit the broker chooses which."""
    settings = invocation.settings()
    documents, present = asyncio.run(_list(settings, Wanted(**given), limit))
    if invocation.json:
        emit(documents)
        return
    if documents:
        _print_list(documents)
    say(_summary(len(documents), present, settings.namespace))


async def _list(settings: Settings, wanted: Wanted, limit: int) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    with progress("looking at dead letters") as tell:
        async with connected(settings) as connection:
            reading = Reading(connection, Names(settings.namespace).dead)
            async for held in reading.letters(wanted):
                found.append(dead_telling.document(held.letter, whole=False))
                tell(reading.seen, reading.present)
                if len(found) == limit:
                    break
    return sorted(found, key=lambda one: one["died_at"] or ""), reading.present


def _print_list(documents: list[dict[str, Any]]) -> None:
    table(
        ("id", "died (UTC)", "queue", "task", "reason", "attempts", "error"),
        (
            (
                one["id"],
                (one["died_at"] or "")[:19].replace("T", " "),
                one["queue"],
                one["task"],
                one["reason"],
                one["attempts"],
                shortened(": ".join(filter(None, (one["error_type"], one["error"]))), _LISTED_ERROR),
            )
            for one in documents
        ),
        right=("attempts",),
    )


def _summary(listed: int, present: int, namespace: str) -> str:
    if not present:
        return f"no dead letters in namespace {namespace!r}"
    of_all = "" if listed == present else f" of {present:,}"
    return f"{listed:,}{of_all} dead letter{'' if present == 1 else 's'}; look at one with `warren dead show ID`"


@command.command("show")
@click.argument("letter_id", metavar="ID")
@pass_invocation
def show(invocation: Invocation, letter_id: str) -> None:
    """Show all that is known of a dead letter: evidence, arguments, traceback.

    The chunks of a map can have several letters under one id: with --json the last of them is the document, and
    `others` says how many more there are.
    """
    letters = asyncio.run(_find(invocation.settings(), letter_id))
    if not letters:
        raise NotFound(_missing(letter_id))
    if invocation.json:
        emit(dead_telling.document(letters[-1], whole=True) | {"others": len(letters) - 1})
        return
    for number, letter in enumerate(letters):
        if number:
            click.echo("\n" + "─" * 36)
        dead_telling.show(letter)


async def _find(settings: Settings, letter_id: str) -> list[DeadLetter]:
    with progress("looking at dead letters") as tell:
        async with connected(settings) as connection:
            reading = Reading(connection, Names(settings.namespace).dead)
            found = []
            async for held in reading.letters(Wanted(ids=frozenset({letter_id}))):
                found.append(held.letter)
                tell(reading.seen, reading.present)
            return sorted(found, key=lambda letter: letter.died_at or 0.0)


def _missing(letter_id: str) -> str:
    return (
        f"there is no dead letter {letter_id!r}: it was replayed or dropped, never died, or somebody else is looking at it "
        "just now; `warren dead list` lists those there are"
    )


@command.command("replay")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every one, or with filters every one that fits them.")
@filters
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), callback=finite, metavar="N", help="At most N in a second."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@pass_invocation
def replay(
    invocation: Invocation, /, ids: tuple[str, ...], *, every: bool, rate: float | None, limit: int | None, **given: Any
) -> int:
    """Run dead letters again: same id, attempts from the start, into the queue they came from.

    A letter is removed when its job is confirmed in its queue. Letters that are no job (undecodable) stay, and are told.
    """
    work = Work(_chosen(ids, given, every=every), limit, rate)
    with progress("replaying") as tell:
        tally = asyncio.run(dead_acting.replay(invocation.settings(), work, tell))
    return _tell(invocation, tally, ids, "replayed")


@command.command("drop")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every one, or with filters every one that fits them.")
@filters
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def drop(
    invocation: Invocation, /, ids: tuple[str, ...], *, every: bool, limit: int | None, yes: bool, **given: Any
) -> int:
    """Remove dead letters for good. Without ids it asks first; where nobody can answer, say --yes."""
    settings = invocation.settings()
    work = Work(_chosen(ids, given, every=every), limit)
    if every and not yes:
        _confirm(settings, given, limit)
    with progress("dropping") as tell:
        tally = asyncio.run(dead_acting.drop(settings, work, tell))
    return _tell(invocation, tally, ids, "dropped")


def _chosen(ids: tuple[str, ...], given: dict[str, Any], *, every: bool) -> Wanted:
    if every == bool(ids):
        raise click.UsageError("name the dead letters by ID, or say --all (with --queue, --task, --reason to choose)")
    return Wanted(frozenset(ids), **given)


def _confirm(settings: Settings, given: dict[str, Any], limit: int | None) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("this drops dead letters for good and nobody can be asked here: say --yes")
    chosen = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    most = f"at most {limit:,} of " if limit else ""
    which = f"those of {chosen} among " if chosen else ""
    count = asyncio.run(_count(settings))
    click.confirm(f"Drop {most}{which}{plural(count, 'dead letter')} for good?", abort=True, err=True)


async def _count(settings: Settings) -> int:
    async with connected(settings) as connection:
        depth = await connection.depth(Names(settings.namespace).dead)
        return depth.ready if depth is not None else 0


def _tell(invocation: Invocation, tally: Tally, ids: tuple[str, ...], verb: str) -> int:
    known = {*tally.done, *(letter_id for letter_id, _ in tally.failed)}
    failed = [*tally.failed, *((letter_id, _missing(letter_id)) for letter_id in ids if letter_id not in known)]
    if invocation.json:
        emit({verb: tally.done, "failed": [{"id": letter_id, "error": error} for letter_id, error in failed]})
    else:
        for letter_id, error in failed:
            say(f"error: {letter_id}: {error}")
        say(f"{verb} {plural(len(tally.done), 'dead letter')}")
    return FAILED if failed else 0
