"""The terminal while `warren top` has it: another screen, keys read one by one, everything as it was when it leaves."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from warren.console.top_page import Line

KEYS = "q leaves"
_LEAVES = frozenset(b"qQ")
_KEY_BYTES = 64
_CONTROL_CHARACTERS = 6
"""Their place in what tcgetattr returns."""
_PAINT_SECONDS = 1.0

Page = Callable[[int, int], list[Line]]
"""Makes the page for a terminal of so many cells and lines."""


def prints(lines: Sequence[Line]) -> None:
    """Write lines to standard output, in colour where that is a terminal."""
    console = Console(highlight=False)
    for line in lines:
        console.print(Text(line.text, style=line.style), soft_wrap=True)


def can_paint() -> bool:
    """Whether standard output is a terminal on which a page can be painted over and over."""
    console = Console()
    return console.is_terminal and not console.is_dumb_terminal


async def paint(page: Page) -> None:
    """Show a page, anew every second and when the terminal's size changes, until a key or a signal ends it."""
    console = Console(highlight=False)
    leave, resized = asyncio.Event(), asyncio.Event()
    with _signals(leave, resized), _keys(leave), Live(console=console, screen=True, auto_refresh=False) as live:
        while not leave.is_set():
            # Asked for anew: an exported COLUMNS would hold for rich, whatever size the terminal has now.
            console.size = width, height = os.get_terminal_size(sys.stdout.fileno())
            live.update(
                Group(*(Text(line.text, line.style, no_wrap=True) for line in page(width, height))), refresh=True
            )
            resized.clear()
            ends = [asyncio.ensure_future(event.wait()) for event in (leave, resized)]
            await asyncio.wait(ends, timeout=_PAINT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for each in ends:
                each.cancel()


@contextmanager
def _signals(leave: asyncio.Event, resized: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    handled = {signal.SIGINT: leave, signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGWINCH: resized}
    for number, event in handled.items():
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@contextmanager
def _keys(leave: asyncio.Event) -> Iterator[None]:
    """Hear single keys, where somebody can press one."""
    if not sys.stdin.isatty():
        yield
        return
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        pressed = os.read(terminal, _KEY_BYTES)
        if not pressed or _LEAVES.intersection(pressed):
            leave.set()

    tty.setcbreak(terminal)
    now = termios.tcgetattr(terminal)
    now[_CONTROL_CHARACTERS][termios.VSUSP] = b"\0"  # stopped by Ctrl-Z, it would leave the shell on this screen
    termios.tcsetattr(terminal, termios.TCSANOW, now)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
