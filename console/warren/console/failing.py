"""From an error to what a human or a script is told: one line or one JSON document, and an exit code. Never a traceback."""

import sys
import traceback

import click

from warren import errors
from warren.console.output import emit

FAILED, USAGE, NO_RESULT, DEAD, CANCELLED, EXPIRED, ALREADY_DONE, UNKNOWN, DROPPED = range(1, 10)
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    (click.UsageError, USAGE),
    (errors.UsageError, USAGE),
    (errors.ResultTimeout, NO_RESULT),
    (errors.JobFailed, DEAD),
    (errors.JobCancelled, CANCELLED),
    (errors.JobExpired, EXPIRED),
    (errors.JobUnknown, UNKNOWN),
    (errors.ResultExpired, DROPPED),
)
_NEXT: tuple[tuple[type[BaseException], str], ...] = (
    (
        errors.BrokerUnavailable,
        "is RabbitMQ running there? Another one: --url or WARREN_URL; a private one: `warren up MODULE`; more: `warren check`",
    ),
    (errors.BrokerBlocked, "`rabbitmqctl alarms` on the broker's machine tells which alarm it is"),
    (errors.InvalidSettings, "`warren check` tells where each setting comes from"),
)


class NotConfirmed(errors.WarrenError):
    """A human said no."""

    def __init__(self) -> None:
        super().__init__("not confirmed, so nothing was done")


class NotFound(errors.WarrenError):
    """What was asked for by name or id is not there."""


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tell an error and return the exit code."""
    if isinstance(error, click.Abort):
        error = KeyboardInterrupt() if isinstance(error.__cause__, KeyboardInterrupt) else NotConfirmed()
    if debug:
        traceback.print_exception(error)
    if as_json:
        emit(document(error))
    elif not isinstance(error, KeyboardInterrupt):
        click.echo(f"{click.style('error:', fg='red', bold=True)} {message(error)}", err=True)
    sys.stdout.flush()
    return code(error)


def code(error: BaseException) -> int:
    """Return the exit code of an error."""
    return next((number for kind, number in _CODES if isinstance(error, kind)), FAILED)


def message(error: BaseException) -> str:
    """Return what went wrong and what to do next."""
    if isinstance(error, click.ClickException):
        where = getattr(error, "ctx", None)
        hint = f"; see `{where.command_path} --help`" if where is not None else ""
        return f"{error.format_message().rstrip('.')}{hint}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    said = "; ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, errors.WarrenError):
        following = next((text for kind, text in _NEXT if isinstance(error, kind)), "")
        return f"{said}; {following}" if following else said
    return f"{type(error).__name__}: {said}; this is a bug in Warren, `--debug` shows where"


def document(error: BaseException) -> dict[str, object]:
    """Return an error as JSON is to have it."""
    found: dict[str, object] = {"error": message(error), "kind": type(error).__name__}
    if isinstance(error, errors.InvalidSettings):
        found["problems"] = list(error.problems)
    for name in ("job_id", "reason"):
        value = getattr(error, name, None)
        if value:
            found[name.removeprefix("job_")] = value
    return found
