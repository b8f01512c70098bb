"""A list as wide as the terminal, or where there is none as wide as it is."""

import shutil
import sys
from collections.abc import Sequence

import click

from warren.console.grid import Column, grid

_WIDE = 10_000
"""Of what is no terminal: nothing is cut."""


def listing(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a heading and a line for each row; see `grid`."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    made = grid(columns, rows, width)
    click.echo(click.style(made.heading, bold=True))
    for line in made.lines:
        click.echo(line)
