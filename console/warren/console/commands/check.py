"""`warren check`: every problem, before it bites."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from warren.amqp.engines import without_password
from warren.console import checkup
from warren.console.broker import quiet_libraries
from warren.console.broker_facts import facts_of
from warren.console.checkup import BrokerFacts, Finding, Level
from warren.console.checkup_schedules import of_schedules
from warren.console.commands.topology import compare
from warren.console.failing import FAILED
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import emit, fields, plural
from warren.console.topology_state import Finding as Compared
from warren.console.topology_state import State, title
from warren.errors import BrokerUnavailable, InvalidSettings, WarrenError
from warren.settings import KEYS, Settings, origins

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


@click.command("check", cls=Command)
@click.argument("modules", nargs=-1)
@click.option("--queue", "-q", multiple=True, metavar="NAME", help="A queue that is served; repeat it for more.")
@pass_invocation
def command(invocation: Invocation, /, modules: tuple[str, ...], queue: tuple[str, ...]) -> int:
    """Tell every problem with the settings, the tasks in MODULES, and the broker; start and change nothing.

    Errors make the exit code 1, warnings do not.
    """
    quiet_libraries()
    tasks, findings = checkup.of_modules(modules)
    try:
        settings = invocation.settings(queues=queue or None)
    except InvalidSettings as error:
        settings = None
        findings = [*(Finding(Level.ERROR, "settings", problem) for problem in error.problems), *findings]
    if settings is not None:
        about_broker, facts = asyncio.run(_of_broker(settings))
        about_tasks = checkup.of_tasks(tasks, settings, facts)
        about_schedules = of_schedules(tasks, settings)
        findings = [*checkup.of_settings(settings), *about_broker, *findings, *about_tasks, *about_schedules]
    given = _in_force(settings, invocation) if settings is not None else []
    if invocation.json:
        emit(_document(findings, given))
    else:
        _print(findings, given)
    return FAILED if any(finding.level is Level.ERROR for finding in findings) else 0


def _in_force(settings: Settings, invocation: Invocation) -> list[tuple[str, Any, str]]:
    """Return name, value and origin of every setting."""
    places = origins() | dict.fromkeys(invocation.explicit, "option")
    found = []
    for name in KEYS:
        value = getattr(settings, name)
        shown = ",".join(map(without_password, settings.urls)) if name == "url" else value
        found.append(
            (name, without_password(shown) if name == "management_url" else shown, places.get(name, "default"))
        )
    return found


async def _of_broker(settings: Settings) -> tuple[list[Finding], BrokerFacts]:
    try:
        compared, unseen = await compare(settings)
        facts, unknown = await facts_of(settings)
    except BrokerUnavailable as error:
        return [
            Finding(Level.ERROR, "broker", f"{error}; start it, or give another (--url, WARREN_URL)")
        ], BrokerFacts()
    except WarrenError as error:
        return [Finding(Level.ERROR, "broker", str(error))], BrokerFacts()
    version = ".".join(map(str, facts.version)) if facts.version else "of unknown version"
    findings = [Finding(Level.OK, "broker", f"RabbitMQ {version} answers")]
    if unknown or unseen:
        findings.append(
            Finding(Level.WARNING, "broker", f"bindings and consumer timeouts cannot be seen: {unknown or unseen}")
        )
    return [*findings, *checkup.of_priorities(facts), *_of_topology(compared, settings)], facts


def _of_topology(compared: list[Compared], settings: Settings) -> Iterator[Finding]:
    for one in compared:
        if one.state is State.MISMATCH:
            name = " ".join(title(one.item))
            yield Finding(
                Level.ERROR, "topology", f"{name}: {one.explanation}; `warren topology check` tells what to do"
            )
    counts = Counter(one.state for one in compared)
    missing = counts[State.MISSING]
    if missing and settings.declare:
        said = f"{missing} of {len(compared)} items are not there yet; who needs them declares them"
        yield Finding(Level.WARNING, "topology", said)
    elif missing:
        said = f"{missing} of {len(compared)} items are missing and declare = false: run `warren topology apply`"
        yield Finding(Level.ERROR, "topology", said)
    if counts[State.DENIED]:
        yield Finding(Level.WARNING, "topology", "this user may not declare, so arguments were not compared")
    if counts[State.PRESENT] + counts[State.UNKNOWN] == len(compared):
        yield Finding(Level.OK, "topology", f"as it should be for queues {', '.join(settings.queue_names)}")


def _document(findings: list[Finding], given: list[tuple[str, Any, str]]) -> dict[str, object]:
    return {
        "ok": not any(finding.level is Level.ERROR for finding in findings),
        "findings": [{"level": one.level, "what": one.what, "said": one.said} for one in findings],
        "settings": {name: {"value": value, "origin": origin} for name, value, origin in given},
    }


def _print(findings: list[Finding], given: list[tuple[str, Any, str]]) -> None:
    changed = [(name, f"{value}  ({origin})") for name, value, origin in given if origin != "default"]
    if changed:
        click.echo("settings that are not the default:")
        fields((f"  {name}", told) for name, told in changed)
        click.echo()
    for finding in findings:
        level = click.style(finding.level.ljust(len(Level.WARNING)), fg=_COLOURS[finding.level])
        click.echo(f"{level}  {finding.what}: {finding.said}")
    counts = Counter(finding.level for finding in findings)
    click.echo(f"\n{plural(counts[Level.ERROR], 'error')}, {plural(counts[Level.WARNING], 'warning')}")
