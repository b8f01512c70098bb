"""Counts the words of Python's standard library over a pool of workers, while files fail and a process is killed.

    python -m examples.wordcount.demo

Exit code 0 only if the counts equal a serial run's, the injected faults were met, and no queue holds anything afterwards.
"""

import sys
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from examples.stage.broker import broker
from examples.stage.daemons import DaemonFailed, guarded
from examples.stage.leftovers import messages_left
from examples.stage.telling import console, progress, verdict
from examples.wordcount.tasks import count_words, count_words_with_faults, hiccups
from examples.wordcount.workers import Team, Totals, workers

from warren.errors import ResultTimeout
from warren.producer import MapHandle, Producer
from warren.settings import Settings

WORKERS, PROCESSES, CHUNK = 2, 2, 20
_STALLED_SECONDS = 60.0
"""No item settled for that long: something is wrong, and waiting on would only hide it."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What the run over the pool gave."""

    words: Counter[str]
    seconds: float
    totals: Totals


def main() -> int:
    """Run the demonstration and return its exit code."""
    paths = [str(path) for path in standard_library()]
    killer = next(path for path in paths[len(paths) // 2 :] if not hiccups(path))
    with ExitStack() as stack:
        settings = stack.enter_context(broker("default"))
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warren-demo-")))
        serial, serial_seconds = count_serially(paths)
        console.print(f"serial run: {len(paths)} files, {serial_seconds:.1f} s")
        pooled = count_pooled(settings, paths, killer, logs)
        left = messages_left(settings)
    return summary(paths, serial, serial_seconds, pooled, left)


def standard_library() -> list[Path]:
    """Return every .py file of the standard library of the Python that runs this."""
    root = Path(sysconfig.get_path("stdlib"))
    foreign = {"site-packages", "dist-packages"}
    return sorted(path for path in root.rglob("*.py") if path.is_file() and not foreign & set(path.parts))


def count_serially(paths: list[str]) -> tuple[Counter[str], float]:
    """Count in this process, one file after another."""
    started, words = time.monotonic(), Counter[str]()
    for path in paths:
        words.update(count_words(path))
    return words, time.monotonic() - started


def count_pooled(settings: Settings, paths: list[str], killer: str, logs: Path) -> Pooled:
    """Count as a map over the workers' pools, and merge what every file gave."""
    with workers(settings, "examples.wordcount.tasks", number=WORKERS, processes=PROCESSES, logs=logs) as team:
        console.print(f"{WORKERS} workers with {PROCESSES} processes each are ready; chunks of {CHUNK} files")
        with Producer(settings) as producer:
            started, words = time.monotonic(), Counter[str]()
            handle = producer.map(count_words_with_faults, paths, chunk=CHUNK, kwargs={"killer": killer})
            for counts in wait_for(handle, team):
                words.update(counts)
            seconds = time.monotonic() - started
        totals = team.totals()
    return Pooled(words, seconds, totals)


def wait_for(handle: MapHandle[dict[str, int]], team: Team) -> list[dict[str, int]]:
    """Wait for the map while showing how far it is.

    Raises:
        DaemonFailed: a worker ended, or nothing happens any more.
    """
    moved, before = time.monotonic(), 0
    with progress("counting words", "files", handle.progress[1]) as show:
        while True:
            try:
                return handle.results(timeout=1.0, on_progress=lambda done, _, __: show(done))
            except ResultTimeout:
                team.check()
            done = handle.progress[0]
            if done > before:
                moved, before = time.monotonic(), done
            elif time.monotonic() - moved > _STALLED_SECONDS:
                raise DaemonFailed(f"no file was counted for {_STALLED_SECONDS:.0f} s ({done} are done)")


def summary(paths: list[str], serial: Counter[str], serial_seconds: float, pooled: Pooled, left: dict[str, int]) -> int:
    """Print what happened and return the exit code."""
    injected, totals = sum(map(hiccups, paths)), pooled.totals
    equal = pooled.words == serial
    met = totals.chunks_retried > 0 and totals.processes_crashed > 0
    console.print(
        f"pool run:   {len(paths)} files, {pooled.seconds:.1f} s, {len(paths) / pooled.seconds:.0f} files/s "
        f"({len(paths) / serial_seconds:.0f} serially; the waits before retries are in it)"
    )
    console.print(
        f"faults:     {injected} files failed once and 1 killed its process; "
        f"counted by the workers: chunks retried {totals.chunks_retried}, processes crashed {totals.processes_crashed}"
    )
    console.print(f"words:      {pooled.words.total():,} in all, {len(pooled.words):,} different")
    return verdict(
        (
            ("counts equal to the serial run", equal, differences(serial, pooled.words)),
            ("the injected faults were met", met, "no retry or no crash was counted"),
            ("nothing left in any queue", not left, ", ".join(f"{name}: {count}" for name, count in left.items())),
        )
    )


def differences(serial: Counter[str], pooled: Counter[str]) -> str:
    """Return some of the words whose counts differ."""
    words = [word for word in serial | pooled if serial[word] != pooled[word]]
    return ", ".join(f"{word}: {pooled[word]} instead of {serial[word]}" for word in words[:3])


if __name__ == "__main__":
    sys.exit(guarded(main))
