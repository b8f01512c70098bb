"""A progress bar where a human waits, and nothing where nobody looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Tells how far something is; `total` when it became known, `failed` items of those done."""

    def __call__(self, done: int, total: int | None = None, failed: int = 0) -> None: ...


@contextmanager
def progress(doing: str) -> Iterator[Advance]:
    """Show a bar on standard error for as long as something goes on, if that is a terminal."""
    if not sys.stderr.isatty():
        yield _nobody_looks
        return
    from rich.console import Console  # noqa: PLC0415 - costs 50 ms
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[failed]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(doing, total=None, rate="", failed="")

        def advance(done: int, total: int | None = None, failed: int = 0) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{done / elapsed:,.0f}/s" if elapsed > 0 else ""
            bar.update(shown, completed=done, total=total, rate=rate, failed=f"{failed} failed" if failed else "")

        yield advance


def _nobody_looks(done: int, total: int | None = None, failed: int = 0) -> None:
    """Progress when standard error is no terminal."""
