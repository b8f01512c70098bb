"""`warren map`: one task over many items."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from warren.console.broker import producing
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import emit, say
from warren.console.progress import progress
from warren.console.values import finite, json_object, json_or_text
from warren.errors import MapFailed, ResultError, ResultTimeout
from warren.producer import MapHandle, Producer
from warren.task import NamedTask, named


class MapUnfinished(ResultTimeout):
    """Not all items in time."""

    def __init__(self, handle: MapHandle[Any], seconds: float) -> None:
        done, total = handle.progress
        ResultError.__init__(
            self,
            f"{done:,} of {total:,} items are done after {seconds:g} s; the others go on without us, so give it more time (--wait)",
        )


@click.command("map", cls=Command)
@click.argument("task")
@click.argument("items", nargs=-1)
@click.option("--chunk", type=click.IntRange(min=1), default=100, show_default=True, help="Items in one message.")
@click.option("--queue", "-q", default="default", show_default=True, help="Where the chunks wait.")
@click.option(
    "--kwargs",
    callback=json_object,
    default="{}",
    metavar="JSON",
    help="Keyword arguments of every item, as a JSON object.",
)
@click.option(
    "--wait", type=float, callback=finite, metavar="SECONDS", help="For all results together; for ever by default."
)
@pass_invocation
def command(
    invocation: Invocation,
    /,
    task: str,
    items: tuple[str, ...],
    *,
    chunk: int,
    queue: str,
    kwargs: dict[str, Any],
    wait: float | None,
) -> int:
    """Run TASK once per item and print the results in the order of the items, one JSON value a line.

    An item is JSON if it parses as JSON, else text. With - as the only item they are read from standard input, one a line.
    The exit code is 1 when some items failed; their result is null, their errors are told on standard error.
    """
    words = _lines() if items == ("-",) else iter(items)
    reference = named(task, queue=queue)
    with producing(invocation.settings()) as producer:
        handle = _enqueue(producer, reference, map(json_or_text, words), chunk, kwargs)
        results, failed = _collect(handle, wait)
    if invocation.json:
        told = [{"position": position, "error": error} for position, error in failed.items()]
        emit({"results": results, "failed": told})
    else:
        _print(results, failed)
    return 1 if failed else 0


def _lines() -> Iterator[str]:
    return (line.rstrip("\n") for line in sys.stdin if line.strip())


def _enqueue(
    producer: Producer, task: NamedTask, items: Iterable[Any], chunk: int, kwargs: dict[str, Any]
) -> MapHandle[Any]:
    with progress("enqueuing") as tell:

        def counted() -> Iterator[Any]:
            for count, item in enumerate(items, 1):
                yield item
                if count % chunk == 0:
                    tell(count)

        return producer.map(task, counted(), chunk=chunk, kwargs=kwargs)


def _collect(handle: MapHandle[Any], wait: float | None) -> tuple[list[Any], dict[int, str]]:
    with progress("running") as tell:
        tell(*handle.progress)
        try:
            return handle.results(wait, on_progress=tell), {}
        except ResultTimeout:
            raise MapUnfinished(handle, wait or 0.0) from None
        except MapFailed as error:
            return error.results, error.failed


def _print(results: list[Any], failed: dict[int, str]) -> None:
    import msgspec  # noqa: PLC0415

    for result in results:
        click.echo(msgspec.json.encode(result))
    for position, error in failed.items():
        say(f"item {position} failed: {error}")
    if failed:
        say(f"{len(failed):,} of {len(results):,} items failed; they are dead letters: see `warren dead list`")
