"""How late delayed jobs start: 500 jobs with delays of 0.1 to 5 s on a machine that does nothing else."""

import random

from benchmarks import tasks
from benchmarks.measuring import Figure, namespace, worker

from warren.producer import Producer

_JOBS = 500


def measure(url: str) -> list[Figure]:
    """Return the lateness: its median, its 99th percentile, and the least, which shows that none was early."""
    space, chance = namespace(), random.Random(7)
    with worker(url, space, "--processes", "2"), Producer(url=url, namespace=space) as producer:
        delays = [chance.uniform(0.1, 5.0) for _ in range(_JOBS)]
        handles = producer.enqueue_many(tasks.now.options(delay=delay).call() for delay in delays)
        late = sorted((handle.result(60) - handle.due) * 1000 for handle in handles)
    return [
        Figure("lateness of delayed jobs, p50", "ms", late[_JOBS // 2], late[0], late[-1]),
        Figure("lateness of delayed jobs, p99", "ms", late[_JOBS * 99 // 100], late[0], late[-1]),
    ]
