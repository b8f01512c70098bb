"""Telling what happens in a form worth looking at, on a terminal and in a log file."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

console = Console(highlight=False, soft_wrap=True)


class Show:
    """A bar on a terminal; elsewhere a line for every tenth of the way."""

    def __init__(self, what: str, noun: str, total: int, bar: Progress | None) -> None:
        self._noun, self._total, self._bar, self._tenth = noun, total, bar, 0
        self._row = bar.add_task(what, total=total) if bar else None

    def __call__(self, done: int) -> None:
        """Show that this many are done."""
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=done)
        elif done * 10 // self._total > self._tenth:
            self._tenth = done * 10 // self._total
            console.print(f"{done} of {self._total} {self._noun}")


@contextmanager
def progress(what: str, noun: str, total: int) -> Iterator[Show]:
    """Show progress for as long as the block lasts."""
    if not console.is_terminal:
        yield Show(what, noun, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield Show(what, noun, total, bar)


def verdict(checks: Iterable[tuple[str, bool, str]]) -> int:
    """Tell of each (what should be, whether it is, what is instead), and return the exit code."""
    good = True
    for name, holds, instead in checks:
        console.print(f"{'ok' if holds else 'FAILED'}: {name}{'' if holds else f' ({instead})'}", markup=False)
        good = good and holds
    return 0 if good else 1
