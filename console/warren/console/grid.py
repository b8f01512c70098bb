"""Columns and lists for a terminal of a given size: pure. What does not fit is left out by rule, and named."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from warren.console.output import printable

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        least: cells that it may be cut to; None for one that is never cut.
        spare: how soon it is left out when the terminal is narrow, the highest first; 0 for never.
    """

    heading: str
    right: bool = False
    least: int | None = None
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as lines, all of one width or less; `omitted` are the headings of columns that did not fit.

    One that may be left out and has nothing in any line is not there in the first place.
    """

    heading: str
    lines: tuple[str, ...]
    omitted: tuple[str, ...]


def grid(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Grid:
    """Lay out a table.

    Args:
        columns: in order.
        rows: a cell for each column; text may be anybody's.
        width: cells of the terminal.
    """
    cells = [[printable(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    natural = [
        max(cell_len(column.heading), *(cell_len(row[place]) for row in cells), 0)
        for place, column in enumerate(columns)
    ]
    told = [place for place, column in enumerate(columns) if not column.spare or any(row[place] for row in cells)]
    places = _kept(columns, natural, width, told)
    widths = _shrunk({place: natural[place] for place in places}, columns, width)
    return Grid(
        _line([column.heading for column in columns], columns, widths, width),
        tuple(_line(row, columns, widths, width) for row in cells),
        tuple(columns[place].heading for place in told if place not in widths),
    )


def shares(needs: Sequence[int], room: int) -> list[int]:
    """Return how many lines each list gets: what it needs where there is room, else as even as may be."""
    given = [0] * len(needs)
    left = max(0, room)
    while left and (hungry := [place for place, need in enumerate(needs) if given[place] < need]):
        for place in hungry[:left]:
            given[place] += 1
        left -= min(left, len(hungry))
    return given


def cut(text: str, width: int) -> str:
    """Return a text in at most so many cells, the last one `…` when it is not all of it."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""


def _kept(columns: Sequence[Column], natural: Sequence[int], width: int, told: Sequence[int]) -> list[int]:
    """Of those that tell something, the columns that fit when all others are as narrow as they may be."""
    places = list(told)
    needed = [
        natural[place] if column.least is None else min(natural[place], column.least)
        for place, column in enumerate(columns)
    ]
    while sum(needed[place] for place in places) + len(_GAP) * (len(places) - 1) > width:
        spare = max(places, key=lambda place: columns[place].spare)
        if not columns[spare].spare:
            break
        places.remove(spare)
    return places


def _shrunk(widths: dict[int, int], columns: Sequence[Column], width: int) -> dict[int, int]:
    """The widest of those that may be cut give way first."""
    surplus = sum(widths.values()) + len(_GAP) * (len(widths) - 1) - width
    for _ in range(max(0, surplus)):
        room = [place for place, cells in widths.items() if cells > (columns[place].least or cells)]
        if not room:
            break
        widths[max(room, key=widths.__getitem__)] -= 1
    return widths


def _line(cells: Sequence[str], columns: Sequence[Column], widths: dict[int, int], width: int) -> str:
    parts = []
    for place, room in widths.items():
        text = cut(cells[place], room)
        padding = " " * (room - cell_len(text))
        parts.append(padding + text if columns[place].right else text + padding)
    return cut(_GAP.join(parts).rstrip(), width)
