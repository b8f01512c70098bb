"""Writing to standard output: one JSON document, or tables and lines for humans."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

_WIDE = 10_000
"""More than any line has: what does not fit into the terminal goes on in its next line, as text does."""
_GAP = "  "
_LEAST = 24
"""Characters of a last column that is cut."""


def emit(document: object) -> None:
    """Write the command's one JSON document; indented for a human at a terminal."""
    data = msgspec.json.encode(document)
    click.echo(msgspec.json.format(data, indent=2) if sys.stdout.isatty() else data)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Write a table without lines around it; columns named in `right` are aligned right.

    On a terminal the last column is cut to what is left of the line; nothing else is ever cut or folded.
    """
    from rich.console import Console  # noqa: PLC0415 - costs 50 ms
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="", padding=(0, len(_GAP), 0, 0))
    for heading in headings:
        made.add_column(Text(heading, style="bold"), justify="right" if heading in right else "left", no_wrap=True)
    for cells in _cut([[printable("" if cell is None else str(cell)) for cell in row] for row in rows], headings):
        made.add_row(*map(Text, cells))
    console = Console(width=_WIDE, highlight=False)
    with console.capture() as captured:
        console.print(made)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cut(rows: list[list[str]], headings: Sequence[str]) -> list[list[str]]:
    if not sys.stdout.isatty():
        return rows
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    left = shutil.get_terminal_size().columns - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    return [[*row[:-1], shortened(row[-1], max(_LEAST, left))] for row in rows]


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Write `name  value` lines, those without a value left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {printable(str(value))}")


def printable(text: str) -> str:
    """Return text that may be anybody's, with what could play tricks on a terminal made visible."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\x{ord(sign):02x}" for sign in text)


def as_line(value: Any) -> str:
    """Return a value as a human reads it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def raw_line(value: msgspec.Raw) -> str:
    """Return a value that was not read yet in the way of `as_line`; what cannot be read, as 1e999, as it is."""
    try:
        return as_line(msgspec.json.decode(value))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return bytes(value).decode(errors="replace")


def say(text: str) -> None:
    """Tell the human something that is no output."""
    click.echo(text, err=True)


def plural(count: int, noun: str, many: str = "") -> str:
    """Return `1 dead letter`, `2 dead letters`; `many` is the plural where it is no mere s."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def shortened(text: str, length: int) -> str:
    """Return the first line of a text, cut to a length."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else f"{line[: length - 1]}…"


def iso(seconds: float | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None  # from somebody else's headers


def clock(seconds: float | None) -> str:
    """Return a moment for a table."""
    return (iso(seconds) or "")[:19].replace("T", " ")
