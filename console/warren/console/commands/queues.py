"""`warren queues`: what waits where; and which queues are not to be taken from."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click

from warren.console import pauses
from warren.console.broker import BrokerRefused, connected
from warren.console.failing import FAILED, NotFound
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.management import Management, ManagementUnavailable
from warren.console.output import emit, plural, say, table
from warren.console.pauses import paused_names
from warren.errors import BrokerUnavailable
from warren.settings import Settings
from warren.topology import Names, check_name


@dataclass(frozen=True, slots=True)
class QueueLine:
    """What is told of one queue; `stuck` are jobs that died but cannot get to the dead letters; None where it is unknown."""

    queue: str
    ready: int
    unacked: int | None
    consumers: int
    stuck: int | None
    paused: bool | None


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
        found = _survey(settings)
    except ManagementUnavailable as error:
        error.add_note(
            "name the queues to look at them over AMQP (`warren queues default`), or say where it is (--management-url)"
        )
        raise
    lines, sums = found
    _tell_all(invocation, settings, _with_pauses(lines, asyncio.run(_paused(settings))), sums)
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
    broker_names = Names(settings.namespace)
    found = []
    async with connected(settings) as connection:
        for name in names:
            depth = await connection.depth(broker_names.queue(check_name(name, "queue")))
            if depth is not None:
                found.append(QueueLine(name, depth.ready, None, depth.consumers, None, None))
        return _with_pauses(found, await paused_names(connection, settings))


def _with_pauses(lines: list[QueueLine], paused: frozenset[str] | None) -> list[QueueLine]:
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


def _survey(settings: Settings) -> tuple[list[QueueLine], dict[str, int]]:
    """The queues of the namespace, and the sums that go below them."""
    names = Names(settings.namespace)
    found = Management.of(settings).queues(f"{settings.namespace}.")
    if not found:
        raise NotFound(
            f"there is nothing of namespace {settings.namespace!r} on this broker yet: start a worker, enqueue a job, "
            "or run `warren topology apply`"
        )
    work = sorted((queue for queue in found if queue["name"].startswith(names.queue(""))), key=lambda one: one["name"])
    lines = [
        QueueLine(
            names.queue_of(queue["name"]),
            _number(queue, "messages_ready"),
            _number(queue, "messages_unacknowledged"),
            _number(queue, "consumers"),
            _number(queue, "messages_dlx"),
            None,
        )
        for queue in work
    ]
    delays = [queue for queue in found if queue["name"].startswith(f"{settings.namespace}.delay.")]
    dead = [queue for queue in found if queue["name"] == names.dead]
    return lines, {
        "delayed": sum(_number(queue, "messages") - _number(queue, "messages_dlx") for queue in delays),
        "dead": sum(_number(queue, "messages") for queue in dead),
        "stuck": sum(_number(queue, "messages_dlx") for queue in (*work, *delays)),
    }


def _number(queue: dict[str, Any], name: str) -> int:
    value = queue.get(name)
    return value if isinstance(value, int) else 0  # a queue that was just declared has no numbers yet


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
