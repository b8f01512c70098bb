"""A million small items: mapped over two processes, their results folded in a tree, and nothing of that held by the producer.

    python -m examples.squares.demo [ITEMS]

Exit code 0 only if the sum is right, the producer's memory stayed flat, and no queue holds anything afterwards.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from examples.squares.tasks import square, total
from examples.stage.broker import broker
from examples.stage.daemons import daemons, guarded
from examples.stage.leftovers import messages_left
from examples.stage.telling import console, progress, verdict

from warren.producer import Producer

ITEMS, CHUNK, PROCESSES = 1_000_000, 5_000, 2
MAY_GROW_MIB = 64
_WARM = 1_000
_SECONDS = 600.0
_NODES = 2
"""Of the workflow, which its progress counts beside the items."""


def main(items: int = ITEMS) -> int:
    """Run the demonstration and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="warren-squares-") as name, broker("default") as settings:
        folder = Path(name)
        worker = ("worker", "examples.squares.tasks", "--processes", str(PROCESSES))
        scheduler = ("scheduler", "examples.squares.tasks", "--store", f"sqlite:///{folder / 'store.db'}")
        with daemons(settings, worker, scheduler, logs=folder), Producer(settings) as producer:
            producer.map_reduce(square, range(_WARM), reduce=total, chunk=100).result(_SECONDS)
            console.print(f"{items} items in chunks of {CHUNK}, over {PROCESSES} processes")
            before, started = _peak_mib(), time.monotonic()
            handle = producer.map_reduce(square, range(items), reduce=total, chunk=CHUNK)
            enqueued = time.monotonic() - started
            with progress("squaring", "items", items + _NODES) as show:
                found = handle.result(_SECONDS, on_progress=lambda done, _: show(done))
            seconds, grown = time.monotonic() - started, _peak_mib() - before
        left = messages_left(settings)
    console.print(f"all enqueued after {enqueued:.1f} s, summed after {seconds:.1f} s: {items / seconds:.0f} items/s")
    console.print(f"the producer's memory grew by {grown:.1f} MiB")
    wanted = (items - 1) * items * (2 * items - 1) // 6
    return verdict(
        (
            ("the sum of the squares is right", found == wanted, f"{found}, not {wanted}"),
            ("the producer's memory stayed flat", grown <= MAY_GROW_MIB, f"it grew by {grown:.1f} MiB"),
            ("nothing left in any queue", not left, str(left)),
        )
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(*map(int, sys.argv[1:2]))))
