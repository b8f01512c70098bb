"""`warren topology`: what Warren declares on the broker."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click

from warren import topology
from warren.amqp.seam import ChannelRefused
from warren.console.broker import connected
from warren.console.failing import FAILED
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.management import Management, ManagementUnavailable, vhost_of
from warren.console.output import emit, say, table
from warren.console.permissions import least
from warren.console.topology_state import Comparison, Finding, State, explained, is_of_delays, title
from warren.settings import Settings
from warren.topology import Binding, Item, Names

_BAD = (State.MISSING, State.MISMATCH)


@click.group("topology", cls=Group)
def command() -> None:
    """Show, apply or check what Warren declares on the broker.

    With declare = true (the default) producers and workers declare what they need; else an administrator runs
    `warren topology apply` once, and `warren topology show --permissions` prints the rights everybody else needs.
    """


queues = click.option("--queue", "-q", multiple=True, metavar="NAME", help="A queue of jobs; repeat it for more.")


@command.command("show")
@queues
@click.option("--permissions", is_flag=True, help="Also the least rights of each kind of user.")
@pass_invocation
def show(invocation: Invocation, /, queue: tuple[str, ...], *, permissions: bool) -> None:
    """Show the plan: exchanges, queues and bindings; asks no broker."""
    settings = invocation.settings(queues=queue or None)
    names = Names(settings.namespace)
    items = topology.everything(names, settings.queue_names)
    rights = least(names)
    if invocation.json:
        lines = [{"who": one.who, "configure": one.configure, "write": one.write, "read": one.read} for one in rights]
        emit({"items": [_document(item) for item in items]} | ({"permissions": lines} if permissions else {}))
        return
    table(("kind", "name", "arguments"), _shown(items, names))
    if permissions:
        click.echo()
        for one in rights:
            click.echo(f"# {one.who}\n{one.command(vhost_of(settings), 'USER')}")


def _document(item: Item) -> dict[str, Any]:
    if isinstance(item, Binding):
        kind = "exchange" if item.to_exchange else "queue"
        return {"kind": "binding", "source": item.source, "target": item.target, "target_kind": kind, "key": item.key}
    kind, name = title(item)
    return {"kind": kind, "name": name, "arguments": item.arguments}


def _shown(items: Iterable[Item], names: Names) -> Iterable[tuple[str, str, str]]:
    """The rows of the plan; the delay's levels are all alike, so they are one row."""
    told = False
    for item in items:
        if not is_of_delays(item, names):
            yield (*title(item), _detail(item))
        elif not told:
            told = True
            count, unit = topology.DELAY_LEVELS, topology.DELAY_UNIT_MS
            what = f"{count} times a topic exchange and a quorum queue; level n waits {unit} ms * 2^n"
            yield ("delay levels", _levels(names), what)


def _levels(names: Names) -> str:
    return f"{names.delay(0)} … {names.delay(topology.DELAY_LEVELS - 1)}"


def _detail(item: Item) -> str:
    if isinstance(item, Binding):
        digits = "*." * topology.DELAY_LEVELS
        return item.key.replace(digits, f"(*. {topology.DELAY_LEVELS} times)") or "(everything)"
    return " ".join(f"{name}={value}" for name, value in item.arguments.items() if name != "x-queue-type")


@command.command("apply")
@queues
@pass_invocation
def apply(invocation: Invocation, /, queue: tuple[str, ...]) -> int:
    """Declare everything that is not there yet; needs the right to configure. What is there stays as it is."""
    settings = invocation.settings(queues=queue or None)
    declared, refused = asyncio.run(_apply(settings))
    if invocation.json:
        emit({"declared": declared, "refused": [{"name": name, "error": why} for name, why in refused]})
    else:
        for name, why in refused:
            say(f"error: {name}: {why}")
        if refused:
            say("`warren topology check` explains what to do")
        say(f"{declared} of {declared + len(refused)} items of namespace {settings.namespace!r} are as they should be")
    return FAILED if refused else 0


async def _apply(settings: Settings) -> tuple[int, list[tuple[str, str]]]:
    declared, refused = 0, []
    async with connected(settings) as connection:
        for item in topology.everything(Names(settings.namespace), settings.queue_names):
            try:
                await connection.declare(item)
                declared += 1
            except ChannelRefused as error:
                refused.append((" ".join(title(item)), explained(error.text)))
    return declared, refused


@command.command("check")
@queues
@pass_invocation
def check(invocation: Invocation, /, queue: tuple[str, ...]) -> int:
    """Compare the plan with the broker and explain what differs; changes nothing.

    The exit code is 1 when something is missing or was declared with other arguments.
    """
    settings = invocation.settings(queues=queue or None)
    findings, unseen = asyncio.run(compare(settings))
    if invocation.json:
        emit([_found(finding) for finding in findings])
    else:
        _print(findings, Names(settings.namespace), unseen)
    return FAILED if any(finding.state in _BAD for finding in findings) else 0


async def compare(settings: Settings) -> tuple[list[Finding], str]:
    """Return a finding for every item of the plan, and why bindings could not be looked at, if so."""
    names, unseen, bindings = Names(settings.namespace), "", None
    try:
        bindings = await asyncio.to_thread(Management.of(settings).bindings)
    except ManagementUnavailable as error:
        unseen = str(error)
    async with connected(settings) as connection:
        comparison = Comparison(connection, names, vhost_of(settings), bindings)
        return await comparison.look(topology.everything(names, settings.queue_names)), unseen


def _found(finding: Finding) -> dict[str, Any]:
    return {
        **_document(finding.item),
        "state": finding.state,
        "explanation": finding.explanation,
        "advice": list(finding.advice),
    }


def _print(findings: list[Finding], names: Names, unseen: str) -> None:
    table(("state", "kind", "name"), _compared(findings, names))
    for finding in findings:
        if finding.explanation:
            _explain(finding)
    click.echo()
    counts = Counter(finding.state for finding in findings)
    click.echo(", ".join(f"{counts[state]} {state}" for state in State if counts[state]))
    if unseen:
        say(f"bindings cannot be looked at over AMQP, and {unseen}")
    if counts[State.DENIED]:
        say("denied: it is there, but this user may not declare, so its arguments cannot be compared")
    if counts[State.MISSING]:
        say("what is missing is declared when needed (declare = true), or now by `warren topology apply`")


def _explain(finding: Finding) -> None:
    click.echo(f"\n{' '.join(title(finding.item))}: {finding.explanation}")
    for number, step in enumerate(finding.advice, 1):
        click.echo(f"  {number}. {step}")


def _compared(findings: list[Finding], names: Names) -> Iterable[tuple[str, str, str]]:
    """The rows of a comparison: the levels of the delay are one row while they agree, bindings go without saying."""
    levels = [finding for finding in findings if is_of_delays(finding.item, names)]
    states = {finding.state for finding in levels} - {State.UNKNOWN}
    agreeing = states.pop() if len(states) == 1 else None
    for finding in findings:
        if finding in levels and finding.state in (agreeing, State.UNKNOWN, State.PRESENT):
            continue
        if not (isinstance(finding.item, Binding) and finding.state in (State.UNKNOWN, State.PRESENT)):
            yield (finding.state, *title(finding.item))
    if agreeing is not None:
        yield (agreeing, "delay levels", _levels(names))
