"""`warren workers`: who works, and at what."""

import asyncio
import difflib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from warren.console import fleet_reading, fleet_telling
from warren.console.broker import connected
from warren.console.failing import NotFound
from warren.console.fleet import Member
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.output import emit, fields, say, table
from warren.settings import Settings
from warren.topology import Names

F = TypeVar("F", bound=Callable[..., Any])

SINCE_SECONDS = 60.0
"""Of silence after which a worker is not listed any more."""
_MOST_SECONDS = 3600.0


def since(function: F) -> F:
    """Add the option how far to look back."""
    return click.option(
        "--since",
        type=click.FloatRange(min=1, max=_MOST_SECONDS),
        default=SINCE_SECONDS,
        metavar="SECONDS",
        help=f"Whoever said something in so many; {SINCE_SECONDS:g} by default, {_MOST_SECONDS:g} at most.",
    )(function)


@click.group("workers", cls=Group, invoke_without_command=True)
@since
@click.pass_context
@pass_invocation
def command(invocation: Invocation, context: click.Context, /, since: float) -> None:
    """List the workers of the namespace, or look at one.

    Workers say how they are every five seconds, so nothing is asked of them and the answer comes at once. `heard` tells how
    old it is; a worker that has not said anything when it should have is `silent`: it crashed, or cannot reach the broker.
    `done`, `retried` and `failed` count attempts since it started; `failed` are those that failed for good, crashed, were
    rejected or expired.
    """
    if context.invoked_subcommand is not None:
        return
    settings = invocation.settings()
    members = asyncio.run(_members(settings, since))
    if invocation.json:
        emit([fleet_telling.document(member) for member in members])
        return
    if members:
        table(fleet_telling.HEADINGS, map(fleet_telling.row, members), right=fleet_telling.RIGHT)
    say(fleet_telling.summary(members, settings.namespace, since))


async def _members(settings: Settings, since: float) -> list[Member]:
    names = Names(settings.namespace)
    async with connected(settings) as connection:
        fleet = await fleet_reading.survey(connection, names, since, settings.publish_timeout)
    return fleet.members(time.time())


@command.command("show")
@click.argument("name")
@since
@pass_invocation
def show(invocation: Invocation, /, name: str, since: float) -> None:
    """Show the worker NAME: its processes, and the job in each."""
    members = asyncio.run(_members(invocation.settings(), since))
    found = [member for member in members if member.status.name == name]
    if not found:
        raise NotFound(_missing(name, members, since))
    if invocation.json:
        emit(fleet_telling.document(found[-1]) | {"others": len(found) - 1})
        return
    for number, member in enumerate(found):
        if number:
            click.echo("\n" + "─" * 36)
        fields(fleet_telling.pairs(member))
        if member.status.slots:
            click.echo()
            table(fleet_telling.SLOT_HEADINGS, fleet_telling.slot_rows(member), right=fleet_telling.SLOT_RIGHT)


def _missing(name: str, members: list[Member], since: float) -> str:
    near = difflib.get_close_matches(name, [member.status.name for member in members], 1)
    hint = f"did you mean {near[0]!r}?" if near else "`warren workers` lists those there are"
    return f"no worker {name!r} said anything in the last {since:g} s; {hint}"
