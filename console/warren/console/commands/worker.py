"""`warren worker`: run jobs until told to stop."""

from typing import Any

import click

from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.serving import serve, worker_options


@click.command("worker", cls=Command)
@click.argument("modules", nargs=-1, required=True)
@worker_options
@pass_invocation
def command(invocation: Invocation, /, modules: tuple[str, ...], queue: tuple[str, ...], **given: Any) -> None:
    """Run jobs of the tasks in MODULES.

    Ctrl-C or SIGTERM: no new jobs, those that run get the grace period; a second one hurries. What is not finished then
    goes back to its queue. With --json one document tells when it is ready, and which port serves /metrics.
    """
    settings = invocation.settings(queues=queue or None, **given)
    serve(modules, settings, as_json=invocation.json)
