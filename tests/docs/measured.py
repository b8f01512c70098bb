"""Tables of the documentation that a test has measured: between marks, and written anew with WARREN_TEST_WRITES_DOCS=1."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

_NUMBER = re.compile(r"[\d.,]+")


def measured_table(page: Path, name: str, rows: Sequence[str]) -> None:
    """Write a table into its page when that is asked for; it must be there, with the same words, whatever the numbers are.

    Args:
        page: with lines `<!-- NAME: begin… -->` and `<!-- NAME: end -->`.
        name: of the table.
        rows: its lines.
    """
    text = page.read_text()
    marks = re.compile(rf"(<!-- {re.escape(name)}: begin.*-->\n)(.*?)(<!-- {re.escape(name)}: end -->)", re.DOTALL)
    found = marks.search(text)
    assert found is not None, f"{page.name} has no marks for {name!r}"
    if os.environ.get("WARREN_TEST_WRITES_DOCS"):
        table = "".join(f"{row}\n" for row in ("", *rows, ""))
        page.write_text(text[: found.start(2)] + table + text[found.end(2) :])
        return
    words = [_NUMBER.sub("0", row) for row in rows]
    documented = [_NUMBER.sub("0", row) for row in found[2].strip().splitlines()]
    assert documented == words, "WARREN_TEST_WRITES_DOCS=1 writes it anew"
