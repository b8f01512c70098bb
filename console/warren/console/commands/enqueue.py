"""`warren enqueue`: one job, by its task's name."""

from datetime import datetime
from typing import Any

import click

from warren.console.broker import producing
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import as_line, emit
from warren.console.values import each_json_or_text, finite, json_object, moment
from warren.task import NamedTask, named


@click.command("enqueue", cls=Command)
@click.argument("task")
@click.argument("args", nargs=-1, callback=each_json_or_text)
@click.option(
    "--kwargs", callback=json_object, default="{}", metavar="JSON", help="Keyword arguments, as a JSON object."
)
@click.option("--queue", "-q", help="Where it waits; `default` by default, also when the task was declared on another.")
@click.option("--delay", type=float, callback=finite, metavar="SECONDS", help="Wait before it is queued.")
@click.option("--at", callback=moment, metavar="ISO", help="The moment to queue it, ISO 8601 with a time zone.")
@click.option("--expires", type=float, callback=finite, metavar="SECONDS", help="By when it must have started.")
@click.option(
    "--deadline",
    type=float,
    callback=finite,
    metavar="SECONDS",
    help="By when it must have ended, all attempts together.",
)
@click.option("--priority", type=int, metavar="0-9", help="Higher first, where the broker can.")
@click.option("--no-result", is_flag=True, help="Nobody will ask for its result.")
@click.option("--wait", type=float, callback=finite, metavar="SECONDS", help="Wait for the result and print it.")
@pass_invocation
def command(
    invocation: Invocation,
    /,
    task: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait: float | None,
    **options: Any,
) -> None:
    """Enqueue one job of TASK (its name, `module:function`) with ARGS, and print its id.

    Each of ARGS is JSON if it parses as JSON, else text: `warren enqueue images.jobs:thumbnail cat.png 64`. Write --
    before arguments that begin with a minus.

    With --wait the exit code tells: 0 done, 3 no result in time, 4 dead letter, 5 cancelled, 6 expired.
    """
    reference = _reference(task, **options)
    with producing(invocation.settings()) as producer:
        handle = producer.enqueue(reference, *args, **kwargs)
        if wait is None:
            emit({"id": handle.id}) if invocation.json else click.echo(handle.id)
            return
        value = handle.result(wait)
    emit({"id": handle.id, "result": value}) if invocation.json else click.echo(as_line(value))


def _reference(
    task: str,
    *,
    queue: str | None,
    delay: float | None,
    at: datetime | None,
    expires: float | None,
    deadline: float | None,
    priority: int | None,
    no_result: bool,
) -> NamedTask:
    return named(
        task,
        queue=queue or "default",
        delay=delay,
        at=at,
        expires=expires,
        deadline=deadline,
        priority=priority,
        result=not no_result,
    )
