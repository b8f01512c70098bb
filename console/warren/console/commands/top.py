"""`warren top`: queues, workers and running jobs, on a page that refreshes."""

import asyncio
import shutil
import sys

import click

from warren.console.broker import quiet_libraries
from warren.console.invocation import Command, Invocation, pass_invocation
from warren.console.output import emit
from warren.console.top_page import document, page
from warren.console.top_watch import Watch
from warren.settings import Settings


@click.command("top", cls=Command)
@click.option("--once", is_flag=True, help="Print one page and leave; so it does where standard output is no terminal.")
@pass_invocation
def command(invocation: Invocation, /, *, once: bool) -> None:
    """Show queues, workers and the jobs that run, on a page that refreshes; q leaves.

    Numbers of queues are RabbitMQ's, asked for every two seconds and up to five seconds old; what workers say comes as they
    say it, every five seconds. The queues with the most to do come first, then silent workers, then the jobs that run
    longest; what does not fit into the terminal is counted.
    """
    settings = invocation.settings()
    if invocation.json:
        emit(document(asyncio.run(Watch(settings).once())))
        return
    from warren.console import top_terminal  # noqa: PLC0415 - costs 50 ms

    if once or not top_terminal.can_paint():
        view = asyncio.run(Watch(settings).once())
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNCUT
        top_terminal.prints(page(view, width))
        return
    asyncio.run(_watch(settings))


_UNCUT = 10_000
"""Cells of a line that goes into a file or another program."""


async def _watch(settings: Settings) -> None:
    from warren.console import top_terminal  # noqa: PLC0415 - as above

    quiet_libraries()
    watch = Watch(settings)
    parts = [
        asyncio.create_task(watch.follow()),
        asyncio.create_task(watch.poll()),
        asyncio.create_task(
            top_terminal.paint(lambda width, height: page(watch.view(), width, height, top_terminal.KEYS))
        ),
    ]
    done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for part in rest:
        part.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for part in done:
        part.result()
