"""`warren workflows`: what there is, where each is, and what can be done about it."""

import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from warren.console.commands.cancel import user
from warren.console.failing import NotFound
from warren.console.invocation import Group, Invocation, pass_invocation
from warren.console.output import emit, fields, plural, say, table
from warren.console.store import opened, store_option
from warren.console.values import finite
from warren.errors import WarrenError
from warren.workflow.messages import Cancel, Request, Retry
from warren.workflow.states import OPEN, WorkflowState

if TYPE_CHECKING:
    from warren.store.database import Database
    from warren.store.workflows import Stored
    from warren.workflow.machine import Progress

_LEAST_COLUMNS = 60


@click.group("workflows", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context, /) -> None:
    """List workflows, draw one, cancel it, or retry what failed.

    They are in the store, so it is that of `warren scheduler`. `warren workflows` is short for `warren workflows list`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([state.value for state in WorkflowState]), help="Only these."
)
@click.option("--name", default="", metavar="TEXT", help="Only those whose name has TEXT in it.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most.")
@store_option
@pass_invocation
def list_(
    invocation: Invocation,
    /,
    states: tuple[str, ...] = (),
    name: str = "",
    limit: int = 50,
    store: str | None = None,
) -> None:
    """List workflows, the newest first."""
    with opened(invocation.settings(store=store)) as database:
        from warren.console import workflow_telling as telling  # noqa: PLC0415 - needs the store's libraries
        from warren.store import workflows  # noqa: PLC0415

        with database.read() as connection:
            kinds = [WorkflowState(state) for state in states]
            found = workflows.listed(connection, states=kinds, name=name, limit=limit + 1)
    shown = found[:limit]
    if invocation.json:
        emit([telling.document(one) for one in shown])
        return
    if shown:
        table(telling.HEADINGS, map(telling.row, shown))
    more = "; there are more: --limit" if len(found) > limit else ""
    say(f"{plural(len(shown), 'workflow')}{more}; `warren workflows show ID` draws one")


@command.command("show")
@click.argument("workflow_id", metavar="ID")
@store_option
@pass_invocation
def show(invocation: Invocation, /, workflow_id: str, store: str | None) -> None:
    """Draw the graph of the workflow ID: where each node is, and why."""
    with opened(invocation.settings(store=store)) as database:
        found = _found(database, workflow_id)
    from warren.console import workflow_telling as telling  # noqa: PLC0415 - needs the store's libraries

    if invocation.json:
        emit(telling.whole(found))
        return
    now = time.time()
    fields(telling.pairs(found, now))
    click.echo()
    _draw(found, now)
    if hint := telling.hint(found):
        say(f"\n{hint}")


def _draw(found: "Stored", now: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - costs 50 ms
    from rich.text import Text  # noqa: PLC0415

    from warren.console.workflow_drawing import drawing  # noqa: PLC0415
    from warren.workflow.graph import Graph  # noqa: PLC0415

    width = max(_LEAST_COLUMNS, shutil.get_terminal_size().columns)
    console = Console(width=width, highlight=False, soft_wrap=True)
    for line in drawing(Graph.of(found.definition), found.progress, width, now):
        text = Text.assemble(*line)
        text.rstrip()
        console.print(text)


wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    callback=finite,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="For a scheduler to take it up; it stands whether or not one does.",
)


@command.command("retry")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@wait
@store_option
@pass_invocation
def retry(invocation: Invocation, /, ids: tuple[str, ...], store: str | None, **given: float) -> int:
    """Run again what is not done of the workflows IDS, and all that comes after it; what is done stays done."""
    with opened(invocation.settings(store=store)) as database:
        found = [_found(database, workflow) for workflow in dict.fromkeys(ids)]
        for one in found:
            _check_retriable(one)
        now = time.time()
        return _say(invocation, database, found, [Retry(one.definition.id, now) for one in found], given["wait"])


@command.command("cancel")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="For whoever waits for the result; else it says who cancelled.")
@wait
@store_option
@pass_invocation
def cancel(
    invocation: Invocation, /, ids: tuple[str, ...], reason: str | None, store: str | None, **given: float
) -> int:
    """Cancel the workflows IDS: what waits does not begin, what is queued or runs is cancelled as `warren cancel` does."""
    with opened(invocation.settings(store=store)) as database:
        found = [_found(database, workflow) for workflow in dict.fromkeys(ids)]
        for one in found:
            if one.progress.state is not WorkflowState.RUNNING:
                raise WrongState(f"workflow {one.definition.id} has ended: it is {one.progress.state}")
        why, now = reason or f"`warren workflows cancel` by {user()}", time.time()
        return _say(invocation, database, found, [Cancel(one.definition.id, now, why) for one in found], given["wait"])


class WrongState(WarrenError):
    """A workflow that is not as it must be for that."""


def _check_retriable(one: "Stored") -> None:
    workflow, state = one.definition.id, one.progress.state
    if state is WorkflowState.RUNNING:
        raise WrongState(f"workflow {workflow} is running; retry it when it has ended, or cancel it before")
    if all(node.state == "done" for node in one.progress.nodes.values()):
        raise WrongState(f"workflow {workflow} is done, and all of its nodes are: there is nothing to retry")
    from warren.workflow.graph import Graph  # noqa: PLC0415 - a worker's console has no use for it
    from warren.workflow.machine import lost_map  # noqa: PLC0415

    if (lost := lost_map(Graph.of(one.definition), one.progress)) is not None:
        raise WrongState(
            f"workflow {workflow} cannot be retried: nobody has the items of map {lost!r} any more; start it anew"
        )


def _say(
    invocation: Invocation, database: "Database", before: Sequence["Stored"], requests: Sequence[Request], wait: float
) -> int:
    """Publish it, and tell whether it was heard."""
    from warren.console.workflow_asking import say as send  # noqa: PLC0415 - needs a client library
    from warren.console.workflow_asking import wait_for_change  # noqa: PLC0415

    send(invocation.settings(), requests)
    deadline = time.monotonic() + wait
    told: list[tuple[str, Progress | None]] = []
    for one in before:
        look = partial(_found, database, one.definition.id)
        after = wait_for_change(look, one, max(0.0, deadline - time.monotonic()))
        told.append((one.definition.id, after.progress if after is not None else None))
    if invocation.json:
        emit([{"id": workflow, "heard": now is not None, "state": now and now.state} for workflow, now in told])
        return 0
    for workflow, now in told:
        click.echo(f"{workflow}  {_outcome(now)}")
    return 0


def _outcome(now: "Progress | None") -> str:
    if now is None:
        return "said, and kept by the broker; no scheduler has heard it yet: does `warren scheduler` run on this store?"
    left = now.count(*OPEN)
    if now.verdict is not None:
        return f"will be {now.verdict} when what is enqueued has ended: {plural(left, 'node')}"
    return f"{now.state}: {plural(left, 'node')} to go" if left else str(now.state)


def _found(database: "Database", workflow_id: str) -> "Stored":
    from warren.store import workflows  # noqa: PLC0415 - needs the store's libraries

    with database.read() as connection:
        found = workflows.find(connection, workflow_id)
        near = workflows.starting_with(connection, workflow_id) if found is None and workflow_id else []
        if found is None and len(near) == 1:
            found = workflows.find(connection, near[0])
    if found is not None:
        return found
    if near:
        raise NotFound(f"several workflows begin with {workflow_id!r}: {', '.join(near)}")
    raise NotFound(f"no workflow {workflow_id!r} is in the store; `warren workflows list` has those there are")
