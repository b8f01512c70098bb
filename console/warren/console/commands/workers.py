"""`warren workers`: who works, and at what."""

import asyncio
import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
import msgspec

from warren.console import fleet_reading, fleet_telling, steering, steering_telling
from warren.console.broker import connected
from warren.console.failing import FAILED, NotFound
from warren.console.fleet import Member
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.output import emit, fields, printable, say, table
from warren.console.steering import Answers
from warren.console.values import finite
from warren.control import NotUnderstood, Reply
from warren.errors import WarrenError
from warren.settings import Settings
from warren.steering import (
    MOST_PROCESSES,
    Drain,
    Draining,
    Recycle,
    Recycling,
    Resize,
    Resized,
    Stacks,
    Steer,
    TellStacks,
)
from warren.topology import Names

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=msgspec.Struct)

SINCE_SECONDS = 60.0
"""Of silence after which a worker is not listed any more."""
_MOST_SECONDS = 3600.0


def since(function: F) -> F:
    """Add the option how far to look back."""
    return click.option(
        "--since",
        type=click.FloatRange(min=1, max=_MOST_SECONDS),
        callback=finite,
        default=SINCE_SECONDS,
        metavar="SECONDS",
        help=f"Whoever said something in so many; {SINCE_SECONDS:g} by default, {_MOST_SECONDS:g} at most.",
    )(function)


@click.group("workers", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context, /) -> None:
    """List the workers of the namespace, look at one, or tell it what to do.

    `warren workers` is short for `warren workers list`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("list")
@since
@pass_invocation
def list_(invocation: Invocation, /, since: float = SINCE_SECONDS) -> None:
    """List the workers: how each is, and how long ago it said so.

    Workers say how they are every five seconds, so nothing is asked of them and the answer comes at once. One that has not
    said anything when it should have is `silent`: it crashed, or cannot reach the broker. `done`, `retried` and `failed`
    count attempts since it started; `failed` are those that failed for good, crashed, were rejected or expired.
    """
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


def target(function: F) -> F:
    """Add who shall obey."""
    function = click.option("--all", "every", is_flag=True, help="Each worker of the namespace.")(function)
    return click.argument("name", required=False)(function)


@command.command("drain")
@target
@pass_invocation
def drain(invocation: Invocation, /, name: str | None, *, every: bool) -> int:
    """Have the worker NAME take no more jobs and end, as SIGTERM does.

    What runs gets the worker's grace period; the rest goes back to its queue. Said twice, it does not hurry.
    """
    return _steer(invocation, Drain(), Kind(Draining, steering_telling.draining), _chosen(name, every=every))


@command.command("resize")
@click.argument("words", metavar="[NAME] PROCESSES", nargs=-1, required=True)
@click.option("--all", "every", is_flag=True, help="Each worker of the namespace.")
@pass_invocation
def resize(invocation: Invocation, /, words: tuple[str, ...], *, every: bool) -> int:
    """Have the worker NAME keep so many PROCESSES, until it ends; `warren workers resize --all 4` for each.

    New ones start at once; those too many leave when they have finished what they run. A worker that scales by itself
    (--processes MIN..MAX) refuses.
    """
    *names, count = words
    if len(names) > 1:
        raise click.UsageError("name one worker and its number of processes, as in `warren workers resize NAME 4`")
    kind = Kind(Resized, steering_telling.resized)
    return _steer(invocation, Resize(_processes(count)), kind, _chosen("".join(names), every=every))


def _processes(word: str) -> int:
    if not (word.isdecimal() and 1 <= int(word) <= MOST_PROCESSES):
        raise click.UsageError(f"{word!r} is no number of processes: take 1 to {MOST_PROCESSES}")
    return int(word)


@command.command("recycle")
@target
@pass_invocation
def recycle(invocation: Invocation, /, name: str | None, *, every: bool) -> int:
    """Have the worker NAME replace its processes, each when it has finished what it runs.

    That gives back memory that they have gathered. For a new version of your code start a new worker.
    """
    return _steer(invocation, Recycle(), Kind(Recycling, steering_telling.recycling), _chosen(name, every=every))


@command.command("stacks")
@target
@pass_invocation
def stacks(invocation: Invocation, /, name: str | None, *, every: bool) -> int:
    """Show where the code of the worker NAME is just now: the Python stacks of each of its processes.

    It works while a job computes, sleeps or hangs in C code, and disturbs none.
    """
    return _steer(invocation, TellStacks(), Kind(Stacks, steering_telling.stacks), _chosen(name, every=every))


@dataclass(frozen=True, slots=True)
class Kind(Generic[A]):
    """How the answers to a command are read and told."""

    answer: type[A]
    line: Callable[[str, A], str]


def _chosen(name: str | None, *, every: bool) -> str:
    if every == bool(name):
        raise click.UsageError("name a worker, or say --all; `warren workers` lists those there are")
    return name or ""


def _steer(invocation: Invocation, command: Steer, kind: Kind[A], name: str) -> int:
    """Say it, and tell what was answered; it failed where a worker that works did not answer."""
    answers = asyncio.run(steering.steer(invocation.settings(), command, name))
    read = [(reply.worker, _read(reply, kind.answer)) for reply in answers.replies]
    if not read and (name or not answers.missing):
        raise NotFound(_nobody(name, answers))
    if invocation.json:
        told = [steering_telling.document(worker, answer) for worker, answer in read]
        emit({"answers": told, "missing": [member.status.name for member in answers.missing]})
    else:
        for worker, answer in read:
            click.echo(printable(kind.line(worker, answer)))
        for member in answers.missing:
            say(f"error: {steering_telling.unanswered(member, steering.KNOWN_SECONDS)}")
    failed = any(getattr(answer, "refused", "") for _, answer in read) or any(
        member.works for member in answers.missing
    )
    return FAILED if failed or not read else 0


def _read(reply: Reply, kind: type[A]) -> A:
    try:
        return reply.read(kind)
    except NotUnderstood as error:
        raise OtherVersion(str(error)) from error


def _nobody(name: str, answers: Answers) -> str:
    if answers.missing:
        return steering_telling.unanswered(answers.missing[0], steering.KNOWN_SECONDS)
    return steering_telling.unknown(name, answers.members, steering.SINCE_SECONDS)


class OtherVersion(WarrenError):
    """A worker answered what this command line does not understand."""


def _missing(name: str, members: list[Member], since: float) -> str:
    near = difflib.get_close_matches(name, [member.status.name for member in members], 1)
    hint = f"did you mean {near[0]!r}?" if near else "`warren workers` lists those there are"
    return f"no worker {name!r} said anything in the last {since:g} s; {hint}"
