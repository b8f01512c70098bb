"""How long it takes until `warren worker` is ready and until `warren --help` has answered."""

import subprocess
import sys
import time

from benchmarks.measuring import Figure, namespace, worker

_RUNS = 7


def measure(url: str) -> list[Figure]:
    """Return start-up times, on a broker that runs."""
    return [
        Figure.of("warren --help", "ms", [_help() for _ in range(_RUNS)]),
        Figure.of("bare python -c pass", "ms", [_bare() for _ in range(_RUNS)]),
        Figure.of("warren worker to ready, namespace new", "ms", [_ready(url, namespace()) for _ in range(_RUNS)]),
        Figure.of("warren worker to ready, namespace known", "ms", _again(url)),
    ]


def _help() -> float:
    return _timed([sys.executable, "-m", "warren", "--help"])


def _bare() -> float:
    return _timed([sys.executable, "-c", "pass"])


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000


def _again(url: str) -> list[float]:
    space = namespace()
    _ready(url, space)
    return [_ready(url, space) for _ in range(_RUNS)]


def _ready(url: str, space: str) -> float:
    started = time.perf_counter()
    with worker(url, space, "--processes", "2"):
        return (time.perf_counter() - started) * 1000
