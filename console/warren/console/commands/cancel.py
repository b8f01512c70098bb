"""`warren cancel`: a job shall not run, wherever it is."""

import getpass
import socket
import sys
import time
from collections.abc import Mapping, Sequence

import click

from warren.console.broker import producing
from warren.console.failing import ALREADY_DONE, UNKNOWN
from warren.console.history import look_up
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import emit, iso, plural, say
from warren.console.values import finite
from warren.producer import Cancellation, TaskCancellation
from warren.settings import Settings
from warren.states import JobState

_SAID = {
    Cancellation.CANCELLED: "cancelled: it waits and will not run",
    Cancellation.CANCELLING: "cancelling: a worker runs it and was told to end it",
    Cancellation.ALREADY_DONE: "already done: it had ended before; `warren result {id}` tells how",
    Cancellation.UNKNOWN: "unknown: no worker that answered runs it, and no result of it is kept; if there is such a job, it will not run",
}
_CODES = {Cancellation.ALREADY_DONE: ALREADY_DONE, Cancellation.UNKNOWN: UNKNOWN}


@click.command("cancel", cls=Command)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--task", metavar="NAME", help="Every job of this task that was enqueued before now.")
@click.option(
    "--workflow",
    metavar="ID",
    help="A whole workflow: what waits does not begin, what is enqueued or runs is cancelled.",
)
@click.option("--reason", metavar="TEXT", help="For whoever waits for the result; else it says who cancelled.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    callback=finite,
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="For the workers to answer; the cancellation stands whether or not they do.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def command(
    invocation: Invocation,
    /,
    ids: tuple[str, ...],
    *,
    task: str | None,
    workflow: str | None,
    reason: str | None,
    wait: float,
    yes: bool,
) -> int:
    """Cancel the jobs IDs: queued, delayed, retrying or running, they will not run (again).

    What is cancelled stays so for 400 days, however often workers are restarted. A running job gets an exception it can clean up
    in; if it goes on, its process is killed after 5 seconds. With --task it asks first; where nobody can answer, say --yes.

    The exit code tells: 0 cancelled or cancelling, 7 already done, 8 unknown; of several jobs the highest.
    """
    if [bool(ids), task is not None, workflow is not None].count(True) != 1:
        raise click.UsageError("name the jobs by ID, or say --task NAME, or --workflow ID")
    settings, why = invocation.settings(), reason or f"`warren cancel` by {user()}"
    if workflow is not None:
        return _cancel_workflow(invocation, settings, workflow, why)
    if task is None:
        return _cancel(invocation, settings, ids, wait, why)
    if not yes:
        _confirm(task)
    with producing(settings) as producer:
        _tell_task(invocation, task, producer.cancel_task(task, timeout=wait, reason=why))
    return 0


def _cancel_workflow(invocation: Invocation, settings: Settings, workflow: str, reason: str) -> int:
    with producing(settings) as producer:
        producer.cancel_workflow(workflow, reason=reason)
    if invocation.json:
        emit({"workflow": workflow, "answer": "asked"})
    else:
        click.echo(
            f"{workflow}  asked: the broker keeps it for the scheduler; `warren workflows show {workflow}` tells what becomes of it"
        )
    return 0


def _cancel(invocation: Invocation, settings: Settings, ids: tuple[str, ...], wait: float, reason: str) -> int:
    with producing(settings) as producer:
        answers = producer.cancel_many(dict.fromkeys(ids), timeout=wait, reason=reason)
    answers |= _from_history(settings, [job_id for job_id, answer in answers.items() if answer == Cancellation.UNKNOWN])
    if invocation.json:
        emit([{"id": job_id, "answer": answer} for job_id, answer in answers.items()])
    else:
        _tell(answers)
    return max(_CODES.get(answer, 0) for answer in answers.values())


def _from_history(settings: Settings, ids: Sequence[str]) -> dict[str, Cancellation]:
    """Return what the history says of jobs of which no worker and no producer knows.

    That of one which runs is left: whoever runs it would have said so.
    """
    if not ids:
        return {}
    found = {}
    for job_id, known in look_up(settings, ids).items():
        record = getattr(known, "record", None)
        if known is None or (record is not None and record.state(time.time()) == JobState.RUNNING):
            continue
        is_over = record is None or record.ended is not None
        found[job_id] = Cancellation.ALREADY_DONE if is_over else Cancellation.CANCELLED
    return found


def _tell(answers: Mapping[str, Cancellation]) -> None:
    for job_id, answer in answers.items():
        click.echo(f"{job_id}  {_SAID[answer].format(id=job_id)}")


def _tell_task(invocation: Invocation, task: str, told: TaskCancellation) -> None:
    if invocation.json:
        emit(
            {
                "task": task,
                "before": iso(told.before),
                "workers": told.workers,
                "running": told.running,
                "withdrawn": told.withdrawn,
            }
        )
        return
    click.echo(
        f"cancelled: every job of {task!r} that was enqueued before {iso(told.before)}; of {plural(told.workers, 'worker')} that "
        f"answered, {len(told.running)} running jobs were told to end and {len(told.withdrawn)} waiting ones have ended"
    )
    say("those that wait in the broker are dropped when they come to a worker, and whoever waits for them is told then")


def _confirm(task: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("this cancels every job of a task and nobody can be asked here: say --yes")
    click.confirm(f"Cancel every job of {task!r} that was enqueued before now?", abort=True, err=True)


def user() -> str:
    """Who does it; in a container there may be nobody of that number."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user} on {socket.gethostname()}"
