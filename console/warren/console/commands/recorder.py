"""`warren recorder`: keep the history of jobs until told to stop."""

import gc
from typing import Any

import click

from warren import quantities
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.serving import daemon_options, serve_daemon
from warren.events import Subscriber
from warren.settings import Settings

_GARBAGE = 500_000
"""Objects that came and did not go, before the collector looks for cycles among them: a batch has some hundred thousand, and no cycle."""
_LEAST_BYTES = 2_000_000


@click.command("recorder", cls=Command)
@click.option(
    "--backlog",
    metavar="SIZE",
    help="Of the stream in which the broker keeps what is not recorded yet, as 500MB; 2GB by default. One that is there stays as it is.",
)
@click.option(
    "--history-age", metavar="SECONDS", help="For which a job that has ended is kept; a week by default, 0 for ever."
)
@click.option("--history-jobs", metavar="N", help="That have ended are kept; 1,000,000 by default, 0 for all.")
@daemon_options
@pass_invocation
def command(invocation: Invocation, /, backlog: str | None, **given: Any) -> None:
    """Keep what happens to jobs in the store, for `warren jobs` and the console.

    Any number may run: one records, the others stand by. While none does, the broker keeps what happens, up to the size of the
    backlog; nothing else waits for it. With --json one document tells when it is ready, and which port serves /metrics.
    """
    size = None if backlog is None else _size(backlog)
    settings = invocation.settings(**given)
    serve_daemon(lambda tell: _made(settings, size, tell), settings, as_json=invocation.json)


def _size(text: str) -> int:
    try:
        size = quantities.size(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--backlog") from error
    if size < _LEAST_BYTES:
        raise click.BadParameter(f"{text!r} is less than 2MB", param_hint="--backlog")
    return size


def _made(settings: Settings, backlog: int | None, tell: Subscriber) -> Any:
    from warren.store.opening import open_store  # noqa: PLC0415 - says so where the libraries are missing

    open_store(settings.store).close()
    from warren.recorder.daemon import Recorder  # noqa: PLC0415

    recorder = Recorder(settings, tell, backlog=backlog)
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    return recorder
