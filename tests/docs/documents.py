"""Reading our Markdown: fenced blocks, links, headings and tables; as much of it as the documentation uses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)(```+)\s*([\w-]*)\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Return every page a user reads."""
    return [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")] + sorted(
        ROOT.glob("docs/**/*.md")
    )


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: tuple[int, str, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number, fence[1], fence[2], fence[3]), []
        elif opened is not None and line.strip() == opened[2]:
            found.append(Block(document, opened[0], opened[3], "\n".join(lines) + "\n"))
            opened = None
        elif opened is not None:
            lines.append(line.removeprefix(opened[1]))
    assert opened is None, f"{document}:{opened and opened[0]}: a fence is not closed"
    return found


def prose(document: Path) -> Iterator[str]:
    """Yield the lines outside fences."""
    fence = ""
    for line in document.read_text().splitlines():
        mark = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif mark:
            fence = mark[2]
        else:
            yield line


def links(document: Path) -> list[str]:
    """Return where a page's links go."""
    return [target for line in prose(document) for target in _LINK.findall(line)]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = (match[1] for line in prose(document) if (match := _HEADING.match(line)))
    return {_NOT_IN_ANCHOR.sub("", title.lower()).replace(" ", "-") for title in titles}


def table(document: Path, first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this heading, without its head."""
    rows = [_cells(line) for line in prose(document)]
    start = next((number for number, row in enumerate(rows) if row and row[0] == first_heading), None)
    assert start is not None, f"{document.relative_to(ROOT)} has no table whose first column is {first_heading!r}"
    found = []
    for row in rows[start + 2 :]:
        if not row:
            break
        found.append(row)
    return found


def _cells(line: str) -> list[str]:
    if not line.startswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
