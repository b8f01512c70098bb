"""`warren result`: what became of a job."""

import contextlib
import time
from typing import TYPE_CHECKING

import click

from warren.console.broker import producing
from warren.console.failing import code, document, message
from warren.console.history import look_up
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import as_line, clock, emit, iso, plural, raw_line, say
from warren.console.store import store_option
from warren.console.values import finite
from warren.errors import JobCancelled, JobExpired, JobFailed, JobUnknown, ResultError, ResultExpired, ResultTimeout
from warren.result import Result
from warren.settings import Settings
from warren.states import JobState

if TYPE_CHECKING:
    import msgspec


class NoResultYet(ResultTimeout):
    """The broker keeps no result of this job; the history may know where it is."""

    def __init__(self, job_id: str, state: str = "") -> None:
        known = f"it is {state} (`warren jobs show {job_id}`)"
        unknown = "it waits, runs or retries, its result is older than a day, its task publishes none, or there never was such a job"
        said = f"job {job_id} has no result: {known if state else unknown}; wait for it with `warren result {job_id} --wait 60`"
        ResultError.__init__(self, said)
        self.job_id = job_id


@click.command("result", cls=Command)
@click.argument("job_id", metavar="ID")
@click.option("--wait", type=float, callback=finite, metavar="SECONDS", help="Wait for it so long at most.")
@store_option
@pass_invocation
def command(invocation: Invocation, job_id: str, wait: float | None, store: str | None) -> int:
    """Print what the job ID returned, or tell what else became of it.

    The broker keeps results for a day; after that the history is asked, if there is one.

    The exit code tells: 0 done, 3 no result (yet), 4 dead letter, 5 cancelled, 6 expired before it started; of the history
    8 unknown: there never was such a job, 9 its result was dropped.
    """
    settings = invocation.settings(store=store)
    late: ResultTimeout | None = None
    with producing(settings) as producer:
        try:
            if wait is not None:
                with contextlib.suppress(JobFailed, JobCancelled, JobExpired):
                    producer.handle(job_id).result(wait)
        except ResultTimeout as error:
            late = error
        found = producer.find(job_id)
    if found is None:
        found = _from_history(settings, job_id, late)
    failure = _failure(found)
    if invocation.json:
        emit(_document(found) | (document(failure) if failure else {}))
    elif failure is None:
        if found.failed:
            say(f"note: {plural(len(found.failed), 'item')} failed: `warren jobs show {found.id}`, `warren dead list`")
        value = _value(found)
        click.echo(as_line(value) if isinstance(value, dict) else raw_line(value))
    else:
        say(f"error: {message(failure)}")
    return code(failure) if failure else 0


def _from_history(settings: Settings, job_id: str, late: ResultTimeout | None) -> Result:
    """Return the result that the history has of a job.

    Raises:
        ResultError: it has none, and says why where it knows.
    """
    told = look_up(settings, [job_id])
    if not told:
        raise late or NoResultYet(job_id)
    known = told[job_id]
    if known is None:
        raise JobUnknown(job_id)
    from warren.console.jobs_telling import as_result  # noqa: PLC0415 - where the store's libraries are there
    from warren.store.asking import Dropped  # noqa: PLC0415

    if isinstance(known, Dropped):
        raise ResultExpired(job_id, f"{clock(known.at)} UTC")
    found = as_result(known)
    if found is not None:
        if known.record.ended and not known.record.ended.value and found.state == JobState.DONE and not known.items:
            say(f"note: job {job_id} is done, and published no result")
        return found
    if known.record.ended is None:
        raise NoResultYet(job_id, known.record.state(time.time()))
    raise ResultExpired(job_id, f"{clock(known.record.ended.at)} UTC: it was too long to be kept")


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


def _value(found: Result) -> "msgspec.Raw | dict[str, msgspec.Raw]":
    """Return what the job returned; of a map's chunk, the values that came last by their places."""
    return found.value if found.items is None else {str(place): value for place, value in found.items.items()}


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
        **({"item_failures": found.failed} if found.failed else {}),
    }
