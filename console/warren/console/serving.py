"""Running a daemon in the foreground, for `warren worker`, `warren up` and the others: its options, its logs, its readiness."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from warren.console.output import emit
from warren.settings import Settings

if TYPE_CHECKING:
    from warren.events import Subscriber

F = TypeVar("F", bound=Callable[..., Any])


_OPTIONS = {
    "processes": (
        "N|MIN..MAX",
        "Of the pool, which grows with the work that waits if there are two numbers; one per CPU by default.",
    ),
    "coroutines": ("M", "`async def` jobs that each process runs at a time; 10 by default."),
    "max_jobs_per_process": (
        "N",
        "After which a process is replaced, when another is ready; 0, the default, for never.",
    ),
    "max_memory_per_process": ("SIZE", "As 512MiB: above it a process is killed, near it replaced; 0 for no limit."),
    "read_ahead": ("N", "Very short jobs a worker may hold beyond its processes; 64 by default, 0 for none."),
    "name": ("NAME", "Of this worker in logs, results and dead letters."),
    "grace_period": ("SECONDS", "How long running jobs may take when it stops; 30 by default."),
    "http_host": ("HOST", "Where /metrics, /livez and /readyz are served."),
    "http_port": ("PORT", "0 for a free one, -1 for none; 9464 by default."),
    "start_method": ("METHOD", "Of pool processes: forkserver or spawn."),
    "log_level": ("LEVEL", "debug, info, warning or error."),
    "log_format": ("FORMAT", "json, console, or auto."),
    "declare": ("BOOL", "false: an administrator declares, by `warren topology apply`."),
    "engine": ("NAME", "Client library: pika or aio_pika."),
    "heartbeat": ("SECONDS", "Of the connection."),
    "connect_timeout": ("SECONDS", "For one attempt to reach one broker."),
    "publish_timeout": ("SECONDS", "Until a publish must be confirmed."),
    "payload_limit": ("BYTES", "Of a job, and of a result."),
}
"""Settings of a worker by name; with the queues, their order, and what every command takes, these are all there are."""
_OF_EVERY_DAEMON = (
    "http_host",
    "http_port",
    "log_level",
    "log_format",
    "declare",
    "engine",
    "heartbeat",
    "connect_timeout",
    "publish_timeout",
)


def worker_options(function: F) -> F:
    """Add an option for every setting of a worker; their values are checked where all settings are."""
    for name, (metavar, what) in reversed(_OPTIONS.items()):
        function = click.option(f"--{name.replace('_', '-')}", metavar=metavar, help=what)(function)
    strict = click.option(
        "--strict", is_flag=True, default=None, help="Take jobs by the order of the queues, not by their weights."
    )
    queue = click.option(
        "--queue",
        "-q",
        multiple=True,
        metavar="NAME[=WEIGHT]",
        help="A queue to serve; repeat it for more, each with its weight.",
    )
    return queue(strict(function))


def daemon_options(function: F) -> F:
    """Add an option for every setting of a daemon that is no worker."""
    for name in reversed(_OF_EVERY_DAEMON):
        metavar, what = _OPTIONS[name]
        function = click.option(f"--{name.replace('_', '-')}", metavar=metavar, help=what)(function)
    named = click.option("--name", metavar="NAME", help="Of this daemon in logs; host and process id by default.")
    store = click.option(
        "--store", metavar="URL", help="The database: sqlite:///FILE, or postgresql://user:password@host/name."
    )
    return store(named(function))


class Daemon(Protocol):
    """A daemon that was made and is not started."""

    def run(self) -> None: ...


def serve_daemon(make: Callable[["Subscriber"], Daemon], settings: Settings, *, as_json: bool) -> None:
    """Run a daemon until it is told to stop; with JSON, one document tells when it is ready.

    Args:
        make: makes it of who shall be told everything that happens.
        settings: for its logs.
        as_json: whether its readiness is told on standard output.

    Raises:
        StartError: it could not begin.
    """
    from warren import logs  # noqa: PLC0415 - `--help` needs none of them
    from warren.events import DaemonReady, Event  # noqa: PLC0415

    logs.configure(settings.log_level, settings.log_format)
    log = logs.LogSubscriber()

    def tell(event: Event) -> None:
        log(event)
        if as_json and isinstance(event, DaemonReady):
            emit(event)

    make(tell).run()


def serve(modules: Sequence[str], settings: Settings, *, as_json: bool) -> None:
    """Run a worker until it is told to stop.

    Raises:
        StartError: it could not begin.
    """
    from warren import logs  # noqa: PLC0415 - the worker's imports cost, and `--help` needs none of them
    from warren.events import Event, WorkerReady  # noqa: PLC0415
    from warren.worker import Worker  # noqa: PLC0415

    logs.configure(settings.log_level, settings.log_format)
    log = logs.LogSubscriber()

    def tell(event: Event) -> None:
        log(event)
        if as_json and isinstance(event, WorkerReady):
            emit(event)

    Worker(modules, settings, on_event=tell).run()
