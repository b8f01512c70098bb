"""`warren schedules`: what is enqueued when; made, paused, run by hand."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.listing import listing
from warren.console.output import clock, emit, fields, plural, say, table
from warren.console.store import opened, store_option
from warren.console.values import each_json_or_text, finite, json_object, moment
from warren.errors import InvalidSchedule
from warren.schedule import Misfire, Overlap, Plan, every, of_plan, once
from warren.task import named

if TYPE_CHECKING:
    from warren.scheduler import Schedules

NEXT_RUNS = 5
_FIRES = 5


@click.group("schedules", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context, /) -> None:
    """List schedules, look at one, make, pause or run one.

    They are in the store, so it is that of `warren scheduler`. `warren schedules` is short for `warren schedules list`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@contextmanager
def _schedules(invocation: Invocation, store: str | None, *, make: bool = False) -> Iterator["Schedules"]:
    with opened(invocation.settings(store=store), make=make) as database:
        from warren.scheduler import Schedules  # noqa: PLC0415 - where the libraries are there

        yield Schedules(database)


@command.command("list")
@store_option
@pass_invocation
def list_(invocation: Invocation, /, store: str | None = None) -> None:
    """List all schedules: when, for which task, when next, and what became of the last job."""
    from warren.console import schedules_telling  # noqa: PLC0415 - needs the store's libraries

    with _schedules(invocation, store) as schedules:
        found = schedules.list()
    if invocation.json:
        emit([schedules_telling.document(stored, last) for stored, last in found])
        return
    if found:
        listing(schedules_telling.COLUMNS, [schedules_telling.row(stored, last) for stored, last in found])
    say(
        schedules_telling.overdue([stored for stored, _ in found], time.time())
        or f"{plural(len(found), 'schedule')}; `warren schedules show NAME` tells the next runs of one"
    )


@command.command("show")
@click.argument("name")
@store_option
@pass_invocation
def show(invocation: Invocation, /, name: str, store: str | None) -> None:
    """Show the schedule NAME: its rule, its next five runs in its time zone and in UTC, and what it fired last."""
    with _schedules(invocation, store) as schedules:
        stored, fired = schedules.get(name), schedules.fired(name, _FIRES)
    from warren.console import schedules_telling as telling  # noqa: PLC0415 - needs the store's libraries
    from warren.scheduler.schedules import next_runs  # noqa: PLC0415

    now = time.time()
    runs = [] if stored.paused or stored.retired else next_runs(stored, now, NEXT_RUNS)
    if invocation.json:
        last = fired[0] if fired else None
        next_five = [{"local": local, "utc": utc} for local, utc, _ in telling.runs(stored, runs, now)]
        document = telling.document(stored, last)
        emit(document | {"runs": next_five, "fired": [telling.fire_document(fire) for fire in fired]})
        return
    fields(telling.pairs(stored))
    if runs:
        click.echo()
        table(telling.RUN_HEADINGS, telling.runs(stored, runs, now), right=("in",))
    if fired:
        click.echo()
        table(telling.FIRE_HEADINGS, map(telling.fire_row, fired), right=("late",))
    if warning := telling.overdue([stored], now):
        say(warning)


@command.command("add")
@click.argument("name")
@click.argument("task")
@click.argument("args", nargs=-1, callback=each_json_or_text)
@click.option("--cron", metavar="LINE", help="Five fields, minute hour day month weekday, as '*/5 * * * *'.")
@click.option("--every", "seconds", type=float, callback=finite, metavar="SECONDS", help="An interval instead.")
@click.option("--at", callback=moment, metavar="ISO", help="One moment instead, ISO 8601 with a time zone.")
@click.option("--tz", default="UTC", metavar="ZONE", help="Of the crontab line, as Europe/Paris; UTC by default.")
@click.option("--misfire", type=click.Choice([each.value for each in Misfire]), help="For what nobody was there for.")
@click.option("--grace", type=float, callback=finite, metavar="SECONDS", help="How late is in time; 60 by default.")
@click.option(
    "--overlap", type=click.Choice([each.value for each in Overlap]), help="While its last job has not ended."
)
@click.option("--jitter", type=float, callback=finite, metavar="SECONDS", help="Later by up to so much.")
@click.option("--start", callback=moment, metavar="ISO", help="Not before.")
@click.option("--end", callback=moment, metavar="ISO", help="Not after.")
@click.option("--paused", is_flag=True, default=None, help="Not before it is resumed.")
@click.option("--kwargs", callback=json_object, default="{}", metavar="JSON", help="Keyword arguments of the task.")
@click.option("--queue", "-q", help="Where its jobs wait; `default` by default.")
@click.option("--expires", type=float, callback=finite, metavar="SECONDS", help="By when a job must have started.")
@click.option("--deadline", type=float, callback=finite, metavar="SECONDS", help="By when it must have ended.")
@click.option("--priority", type=int, metavar="0-9", help="Higher first, where the broker can.")
@click.option("--no-result", is_flag=True, help="Its jobs publish no results.")
@store_option
@pass_invocation
def add(
    invocation: Invocation, /, name: str, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], **given: Any
) -> None:
    """Make the schedule NAME, which enqueues TASK (`module:function`) with ARGS.

    Each of ARGS is JSON if it parses as JSON, else text, as in `warren enqueue`. Write -- before arguments that begin with a
    minus. It fires from now on, where a `warren scheduler` runs on this store.
    """
    store = given.pop("store")
    reference = named(
        task,
        queue=given.pop("queue") or "default",
        expires=given.pop("expires"),
        deadline=given.pop("deadline"),
        priority=given.pop("priority"),
        result=not given.pop("no_result"),
    )
    schedule = of_plan(_plan(**given, name=name, args=args, kwargs=kwargs), reference)
    with _schedules(invocation, store, make=True) as schedules:
        made = schedules.add(schedule)
    from warren.console import schedules_telling as telling  # noqa: PLC0415 - needs the store's libraries

    if invocation.json:
        emit(telling.document(made, None))
    else:
        click.echo(f"{name}  next {clock(made.next_due)} UTC")


def _plan(*, cron: str | None, seconds: float | None, at: datetime | None, tz: str, **options: Any) -> Plan:
    if sum(rule is not None for rule in (cron, seconds, at)) != 1:
        raise InvalidSchedule("take one of --cron LINE, --every SECONDS and --at ISO")
    kept = {key: value for key, value in options.items() if value is not None}
    if cron is not None:
        return every(cron, tz=tz, **kept)
    if at is not None:
        return once(at, tz=tz, **kept)
    return every(timedelta(seconds=seconds or 0), tz=tz, **kept)


@command.command("remove")
@click.argument("name")
@store_option
@pass_invocation
def remove(invocation: Invocation, /, name: str, store: str | None) -> None:
    """Forget the schedule NAME, which was made at run time; one that is declared in code is taken out there."""
    with _schedules(invocation, store) as schedules:
        schedules.remove(name)
    _tell(invocation, name, "removed", changed=True)


@command.command("pause")
@click.argument("name")
@store_option
@pass_invocation
def pause(invocation: Invocation, /, name: str, store: str | None) -> None:
    """Have the schedule NAME fire no more until it is resumed, also after a restart and a new version of the code."""
    with _schedules(invocation, store) as schedules:
        changed = schedules.pause(name)
    _tell(invocation, name, "paused" if changed else "it was paused already", changed=changed)


@command.command("resume")
@click.argument("name")
@store_option
@pass_invocation
def resume(invocation: Invocation, /, name: str, store: str | None) -> None:
    """Have the schedule NAME fire again from now on; what was due meanwhile is not made up for.

    Nor does it wait any longer for the end of a job from before.
    """
    with _schedules(invocation, store) as schedules:
        changed = schedules.resume(name)
    _tell(invocation, name, "resumed" if changed else "it was not paused", changed=changed)


@command.command("run")
@click.argument("name")
@store_option
@pass_invocation
def run(invocation: Invocation, /, name: str, store: str | None) -> None:
    """Have the schedule NAME fire once now, besides its rule, also when it is paused; prints the job's id.

    It is the leading scheduler that enqueues the job.
    """
    with _schedules(invocation, store) as schedules:
        fire = schedules.run(name)
    emit({"schedule": name, "id": fire.job_id}) if invocation.json else click.echo(fire.job_id)


def _tell(invocation: Invocation, name: str, said: str, *, changed: bool) -> None:
    emit({"schedule": name, "changed": changed}) if invocation.json else click.echo(f"{name}  {said}")
