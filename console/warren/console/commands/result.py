"""`warren result`: what became of a job."""

import contextlib
from typing import Any

import click

from warren.console.broker import producing
from warren.console.failing import code, document, message
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import as_line, emit, iso, say
from warren.console.values import finite
from warren.errors import JobCancelled, JobExpired, JobFailed, ResultError, ResultTimeout
from warren.result import Result
from warren.states import JobState


class NoResultYet(ResultTimeout):
    """The broker keeps no result of this job."""

    def __init__(self, job_id: str) -> None:
        ResultError.__init__(
            self,
            f"job {job_id} has no result: it waits, runs or retries, its result is older than a day, its task publishes none, "
            f"or there never was such a job; wait for it with `warren result {job_id} --wait 60`",
        )
        self.job_id = job_id


@click.command("result", cls=Command)
@click.argument("job_id", metavar="ID")
@click.option("--wait", type=float, callback=finite, metavar="SECONDS", help="Wait for it so long at most.")
@pass_invocation
def command(invocation: Invocation, job_id: str, wait: float | None) -> int:
    """Print what the job ID returned, or tell what else became of it. Results are kept for a day.

    The exit code tells: 0 done, 3 no result (yet), 4 dead letter, 5 cancelled, 6 expired.
    """
    with producing(invocation.settings()) as producer:
        if wait is not None:
            with contextlib.suppress(JobFailed, JobCancelled, JobExpired):
                producer.handle(job_id).result(wait)
        found = producer.find(job_id)
    if found is None:
        raise NoResultYet(job_id)
    failure = _failure(found)
    if invocation.json:
        emit(_document(found) | (document(failure) if failure else {}))
    elif failure is None:
        click.echo(as_line(_value(found)))
    else:
        say(f"error: {message(failure)}")
    return code(failure) if failure else 0


def _failure(found: Result) -> ResultError | None:
    match found.state:
        case JobState.DONE:
            return None
        case JobState.CANCELLED:
            return JobCancelled(found.id, found.reason)
        case JobState.EXPIRED:
            return JobExpired(found.id)
    dead = JobFailed(found.id, found.reason or "failed", found.error_type, found.error, found.traceback)
    dead.add_note(f"look at it with `warren dead show {found.id}`, run it again with `warren dead replay {found.id}`")
    return dead


def _value(found: Result) -> Any:
    """Return what the job returned; of a map's chunk, the values that came last by their places."""
    import msgspec  # noqa: PLC0415

    if found.items is not None:
        return {str(place): msgspec.json.decode(value) for place, value in found.items.items()}
    return msgspec.json.decode(found.value)


def _document(found: Result) -> dict[str, object]:
    return {
        "id": found.id,
        "task": found.task,
        "queue": found.queue,
        "state": found.state,
        "result": _value(found),
        "attempt": found.attempt,
        "worker": found.worker,
        "finished_at": iso(found.finished_at),
        "reason": found.reason,
        "error_type": found.error_type,
        "traceback": found.traceback,
    }
