"""`warren queues`: what waits where; and which queues are not to be taken from."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace

import click

from warren.console import pauses
from warren.console.broker import BrokerRefused, connected
from warren.console.failing import FAILED
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.management import ManagementUnavailable
from warren.console.output import emit, plural, say, table
from warren.console.pauses import paused_names
from warren.console.queue_survey import QueueLine, depths, survey
from warren.errors import BrokerUnavailable
from warren.settings import Settings
from warren.topology import Names, check_name


class _Queues(Group):
    """Lists, where no command is named."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["list", *args])


@click.group("queues", cls=_Queues, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context, /) -> int | None:
    """List, pause or resume queues.

    `warren queues [NAME]...` is short for `warren queues list [NAME]...`.
    """
    listed: int | None = ctx.invoke(list_) if ctx.invoked_subcommand is None else None
    return listed


@command.command("list")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@pass_invocation
def list_(invocation: Invocation, /, names: tuple[str, ...] = ()) -> int:
    """List the queues of the namespace: jobs ready, jobs being run, consumers; delayed jobs; dead letters.

    With NAMEs only those are looked at, over AMQP; the whole list needs RabbitMQ's management API, whose numbers are up
    to five seconds old.
    """
    settings = invocation.settings()
    if names:
        return _tell_named(invocation, settings, names)
    try:
        found = survey(settings)
    except ManagementUnavailable as error:
        error.add_note(
            "name the queues to look at them over AMQP (`warren queues default`), or say where it is (--management-url)"
        )
        raise
    lines = _with_pauses(found.lines, asyncio.run(_paused(settings)))
    sums = {"delayed": found.delayed or 0, "dead": found.dead or 0, "stuck": found.stuck or 0}
    _tell_all(invocation, settings, lines, sums)
    return 0


def _tell_named(invocation: Invocation, settings: Settings, names: Sequence[str]) -> int:
    lines = asyncio.run(_depths(settings, names))
    missing = [name for name in names if name not in {line.queue for line in lines}]
    if invocation.json:
        emit({"queues": [asdict(line) for line in lines], "missing": missing})
    elif lines:
        table(
            ("queue", "ready", "consumers", ""),
            ((line.queue, line.ready, line.consumers, _state(line)) for line in lines),
            right=("ready", "consumers"),
        )
    for name in missing:
        say(f"error: there is no queue {name!r}: no worker served it yet, and no job was enqueued to it")
    return FAILED if missing else 0


async def _depths(settings: Settings, names: Sequence[str]) -> list[QueueLine]:
    async with connected(settings) as connection:
        found = await depths(connection, Names(settings.namespace), names)
        return _with_pauses(found, await paused_names(connection, settings))


def _with_pauses(lines: Sequence[QueueLine], paused: frozenset[str] | None) -> list[QueueLine]:
    return [replace(line, paused=None if paused is None else line.queue in paused) for line in lines]


async def _paused(settings: Settings) -> frozenset[str] | None:
    """Which queues are paused; the list of queues, which comes by another way, does not fail for want of it."""
    try:
        async with connected(settings) as connection:
            return await paused_names(connection, settings)
    except (BrokerUnavailable, BrokerRefused):
        return None


def _state(line: QueueLine) -> str:
    return "paused" if line.paused else ""


def _tell_all(invocation: Invocation, settings: Settings, lines: list[QueueLine], sums: dict[str, int]) -> None:
    if invocation.json:
        emit({"namespace": settings.namespace, "queues": [asdict(line) for line in lines], **sums})
        return
    rows = [(line.queue, line.ready, line.unacked, line.consumers, _state(line)) for line in lines]
    table(("queue", "ready", "unacked", "consumers", ""), rows, right=("ready", "unacked", "consumers"))
    click.echo()
    click.echo(f"delayed       {sums['delayed']:,}")
    click.echo(f"dead letters  {sums['dead']:,}{'  see `warren dead list`' if sums['dead'] else ''}")
    if sums["stuck"]:
        say(
            f"warning: {plural(sums['stuck'], 'job')} cannot get out of a queue to where it should go next (messages_dlx); "
            "`warren topology check` tells whether something is missing. The broker tries again every three minutes"
        )


@command.command("pause")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_invocation
def pause(invocation: Invocation, /, names: tuple[str, ...]) -> None:
    """Have no worker take jobs of the queues NAME any more, until they are resumed: also none that starts in a year.

    Jobs that run finish; jobs can be enqueued, and wait. A queue that is not there yet can be paused, too.
    """
    _say(invocation, names, paused=True)


@command.command("resume")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_invocation
def resume(invocation: Invocation, /, names: tuple[str, ...]) -> None:
    """Have workers take jobs of the queues NAME again."""
    _say(invocation, names, paused=False)


def _say(invocation: Invocation, names: tuple[str, ...], *, paused: bool) -> None:
    settings = invocation.settings()
    for name in names:
        check_name(name, "queue")
    news = asyncio.run(_say_each(settings, names, paused=paused))
    if invocation.json:
        emit([{"queue": name, "paused": paused, "changed": changed} for name, changed in news.items()])
        return
    state = "paused" if paused else "resumed"
    for name, changed in news.items():
        already = "" if changed else "it was paused already" if paused else "it was not paused"
        click.echo(f"{name}  {already or state}")


async def _say_each(settings: Settings, names: tuple[str, ...], *, paused: bool) -> dict[str, bool]:
    async with connected(settings) as connection:
        return {name: await pauses.say(connection, settings, name, paused=paused) for name in names}
