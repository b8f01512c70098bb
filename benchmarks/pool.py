"""`python -m benchmarks.pool spin|square NUMBER CHUNK`: the standard library's process pool on the same work; prints JSON."""

import json
import multiprocessing
import sys
import time

from benchmarks.jobs import work
from benchmarks.site import Site

SPIN_SECONDS = 0.02


def main(job: str, number: int, chunk: int) -> None:
    """Run so many jobs on a warm pool."""
    with multiprocessing.Pool(Site.here().processes) as pool:
        pool.map(work.square, range(100))
        started = time.perf_counter()
        if job == "spin":
            for _ in pool.imap_unordered(work.spin, [SPIN_SECONDS] * number, chunksize=chunk):
                pass
        else:
            assert sum(pool.map(work.square, range(number), chunksize=chunk)) > 0
        seconds = time.perf_counter() - started
    print(json.dumps({"jobs/s": number / seconds, "items/s": number / seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
