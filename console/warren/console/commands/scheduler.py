"""`warren scheduler`: fire schedules and move workflows until told to stop."""

from typing import Any

import click

from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.serving import daemon_options, serve_daemon
from warren.events import Subscriber
from warren.settings import Settings


@click.command("scheduler", cls=Command)
@click.argument("modules", nargs=-1)
@daemon_options
@pass_invocation
def command(invocation: Invocation, /, modules: tuple[str, ...], **given: Any) -> None:
    """Enqueue the jobs of schedules when they are due, and move workflows.

    Any number may run: one leads, the others stand by, and one of them takes over when it is gone. The schedules of the tasks
    in MODULES are all that are declared in code: others that were, retire. Without MODULES those in the store stay as they are.
    """
    settings = invocation.settings(**given)
    serve_daemon(lambda tell: _made(modules, settings, tell), settings, as_json=invocation.json)


def _made(modules: tuple[str, ...], settings: Settings, tell: Subscriber) -> Any:
    from warren.store.opening import open_store  # noqa: PLC0415 - says so where the libraries are missing

    open_store(settings.store).close()
    from warren.scheduler.daemon import Scheduler  # noqa: PLC0415

    return Scheduler(modules, settings, tell)
