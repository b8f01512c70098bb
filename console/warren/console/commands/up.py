"""`warren up`: everything for one machine in one terminal."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from warren.amqp.engines import without_password
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import emit, say
from warren.console.parts import Part, keep
from warren.console.serving import worker_options
from warren.console.store import store_option
from warren.settings import Settings, origins, variables
from warren.store.opening import libraries_are_installed

if TYPE_CHECKING:
    from warren.console.private_broker import PrivateBroker

_STOP_SECONDS = 15.0
"""Beyond the grace period, until what does not end is killed."""
_NEXT_PORTS = {"worker": 0, "recorder": 1, "scheduler": 2}
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@click.command("up", cls=Command)
@click.argument("modules", nargs=-1, required=True)
@worker_options
@store_option
@click.pass_context
@pass_invocation
def command(
    invocation: Invocation, ctx: click.Context, /, modules: tuple[str, ...], queue: tuple[str, ...], **given: Any
) -> None:
    """Run a worker for the tasks in MODULES, a scheduler and a recorder, with a RabbitMQ of its own if none is configured.

    A broker is configured by --url, WARREN_URL or warren.toml, a store likewise. Else a private RabbitMQ is started, installed if
    need be, and the store is a file; the data of both stays until next time. Each daemon is a process of its own, started again
    when it crashes. Ctrl-C stops the scheduler, the worker, the recorder and the broker, in this order.
    """
    settings = invocation.settings(queues=queue or None, **given)
    known = {*invocation.explicit, *origins(), *(name for name, value in given.items() if value is not None)}
    if "url" in known:
        settings = (
            settings if "store" in known else replace(settings, store=_store(settings, without_password(settings.url)))
        )
        say(f"on the configured broker {without_password(settings.url)}; Ctrl-C stops everything")
        ctx.exit(_serve(modules, settings, alone=False, as_json=invocation.json))
    with _private() as (broker, where, another):
        settings = replace(settings, url=broker.url, management_url=broker.management_url)
        settings = settings if "store" in known else replace(settings, store=_store(settings, "private"))
        say(f"private RabbitMQ at {broker.url} ({where}")
        ctx.exit(_serve(modules, settings, alone=another, as_json=invocation.json))


def _serve(modules: tuple[str, ...], settings: Settings, *, alone: bool, as_json: bool) -> int:
    """Run the daemons until a signal; a worker alone where another `warren up` runs the rest, or its libraries are missing."""
    if alone:
        say("the recorder and the scheduler are the other's: schedules of modules that only this one has do not fire")
    elif not libraries_are_installed():
        say("a worker alone: for history, schedules and workflows, pip install 'warren[store]'")
        alone = True
    shown = {"WARREN_URL": settings.url, "WARREN_MANAGEMENT_URL": settings.management_url}
    shown |= {} if alone else {"WARREN_STORE": settings.store}
    given = " ".join(f"{name}={value}" for name, value in shown.items() if value)
    say(f"in another terminal: export {given}")
    kinds = ("worker",) if alone else ("scheduler", "worker", "recorder")
    parts = [_part(kind, modules, settings) for kind in kinds]

    def tell(said: dict[str, dict[str, Any]]) -> None:
        others = {kind: document for kind, document in said.items() if kind != "worker"}
        if as_json:
            emit(said["worker"] | others)

    ended = asyncio.run(keep(parts, say, tell))
    if ended.failure is not None:
        emit(ended.failure) if as_json else say(
            f"{click.style('error:', fg='red', bold=True)} {ended.failure['error']}"
        )
    return ended.code


def _part(kind: str, modules: tuple[str, ...], settings: Settings) -> Part:
    """One daemon with these settings; each has a port of its own, one after the other."""
    port = settings.http_port + _NEXT_PORTS[kind] if settings.http_port > 0 else settings.http_port
    arguments = () if kind == "recorder" else modules
    environ = variables(replace(settings, http_port=port))
    return Part(kind, arguments, environ, _STOP_SECONDS + (settings.grace_period if kind == "worker" else 0))


def _store(settings: Settings, broker: str) -> str:
    """The file of the history, schedules and workflows of one namespace on one broker."""
    address = _UNSAFE.sub("-", broker.partition("://")[2].partition(",")[0].rpartition("@")[2] or broker).strip("-")
    folder = state_folder().parent / "store"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / f'{settings.namespace}-{address}.db'}"


def state_folder() -> Path:
    """Return where the private broker keeps its data between runs."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "warren" / "broker"


@contextmanager
def _private() -> Iterator[tuple["PrivateBroker", str, bool]]:
    """Run the private broker, or use it where another `warren up` runs it already, and tell whether that is so."""
    from warren.console.private_broker import PrivateBroker, aloud, ensure_installed  # noqa: PLC0415 - seldom needed

    folder = state_folder()
    broker = PrivateBroker(ensure_installed(aloud), folder)
    if broker.pid is not None:
        yield broker, f"run by another `warren up`, data in {folder}); Ctrl-C stops the worker", True
        return
    say(f"starting a private RabbitMQ, its data is in {folder}")
    try:
        broker.start()
        yield broker, f"data in {folder}); Ctrl-C stops everything", False
    finally:
        broker.close()
