"""`python -m benchmarks.pool spin NUMBER`, `square ITEMS CHUNK`: the standard library's process pool on the same work; prints JSON."""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.jobs import work
from benchmarks.site import Site

SPIN_SECONDS = 0.02
WARM, SPARE = 6, 12


def spin(number: int) -> dict[str, float]:
    """Run jobs of 20 ms; watched as a worker is, from the first few on, while more are waiting than are watched."""
    with multiprocessing.Pool(Site.here().processes) as pool:
        results = pool.imap_unordered(work.spin, [SPIN_SECONDS] * (number + SPARE), chunksize=1)
        _take(results, WARM)
        started = time.perf_counter()
        _take(results, number - WARM)
        seconds = time.perf_counter() - started
    return {"jobs/s": (number - WARM) / seconds}


def square(items: int, chunk: int) -> dict[str, float]:
    """Map a trivial function over many items on a warm pool."""
    with multiprocessing.Pool(Site.here().processes) as pool:
        pool.map(work.square, range(100))
        started = time.perf_counter()
        total = sum(pool.map(work.square, range(items), chunksize=chunk))
        seconds = time.perf_counter() - started
    assert total == sum(number * number for number in range(items))
    return {"items/s": items / seconds}


def _take(results: Iterator[None], number: int) -> None:
    for _ in range(number):
        next(results)


if __name__ == "__main__":
    jobs: dict[str, Callable[..., dict[str, float]]] = {"spin": spin, "square": square}
    print(json.dumps(jobs[sys.argv[1]](*map(int, sys.argv[2:]))))
