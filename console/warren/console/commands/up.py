"""`warren up`: everything for one machine in one terminal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from warren.amqp.engines import without_password
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import say
from warren.console.serving import serve, worker_options
from warren.settings import Settings, origins


@click.command("up", cls=Command)
@click.argument("modules", nargs=-1, required=True)
@worker_options
@pass_invocation
def command(invocation: Invocation, /, modules: tuple[str, ...], queue: tuple[str, ...], **given: Any) -> None:
    """Run a worker for the tasks in MODULES, with a RabbitMQ of its own if none is configured.

    A broker is configured by --url, WARREN_URL or warren.toml. Else a private one is started, RabbitMQ is installed for it
    if need be, and its data stays until next time. Ctrl-C stops the worker, then the broker.
    """
    settings = invocation.settings(queues=queue or None, **given)
    if "url" in invocation.explicit or "url" in origins():
        say(
            f"worker for {_queues(settings)} on the configured broker {without_password(settings.url)}; Ctrl-C stops it"
        )
        serve(modules, settings, as_json=invocation.json)
        return
    with _private() as (broker, where):
        settings = invocation.settings(
            queues=queue or None, url=broker.url, management_url=broker.management_url, **given
        )
        say(f"worker for {_queues(settings)}, private RabbitMQ at {broker.url} ({where}")
        say(f"in another terminal: export WARREN_URL={broker.url} WARREN_MANAGEMENT_URL={broker.management_url}")
        serve(modules, settings, as_json=invocation.json)


def _queues(settings: Settings) -> str:
    return f"queue{'s' if len(settings.queues) > 1 else ''} {', '.join(settings.queues)}"


def state_folder() -> Path:
    """Return where the private broker keeps its data between runs."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "warren" / "broker"


@contextmanager
def _private() -> Iterator[tuple[Any, str]]:
    """Run the private broker, or use it where another `warren up` runs it already."""
    from warren.console.private_broker import PrivateBroker, aloud, ensure_installed  # noqa: PLC0415 - seldom needed

    folder = state_folder()
    broker = PrivateBroker(ensure_installed(aloud), folder)
    if broker.pid is not None:
        yield broker, f"run by another `warren up`, data in {folder}); Ctrl-C stops the worker"
        return
    say(f"starting a private RabbitMQ, its data is in {folder}")
    try:
        broker.start()
        yield broker, f"data in {folder}); Ctrl-C stops both"
    finally:
        broker.close()
