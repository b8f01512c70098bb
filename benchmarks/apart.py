"""`python -m benchmarks.apart SYSTEM ORDER…`: enqueues in a fresh process, and prints a line of JSON for each order.

Without orders they are read from its input, so that several systems can take turns. A process of its own makes the producer's CPU
time its own, and no system pays for what another one has imported.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from benchmarks import answers
from benchmarks.site import Site

_WARM = 50
_SECONDS = 300


def apart(site: Site, system: str, verb: str, *arguments: Any) -> dict[str, float]:
    """Have a system's application do it in a fresh process; what it reported."""
    return fresh(site, "benchmarks.apart", system, json.dumps([verb, *arguments]))


class Player:
    """A system's application in a process of its own, which does one thing after the other when it is told."""

    def __init__(self, site: Site, system: str) -> None:
        command = [sys.executable, "-m", "benchmarks.apart", system]
        self._process = subprocess.Popen(
            command, env=site.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def plays(self, verb: str, *arguments: Any) -> dict[str, float]:
        """Have it done; what it reported.

        Raises:
            EOFError: it has ended; why is on the screen.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([verb, *arguments]), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise EOFError(f"the application has ended with {self._process.wait()}")
        report: dict[str, float] = json.loads(line)
        return report


def fresh(site: Site, module: str, *arguments: str) -> dict[str, float]:
    """Run a module of ours in a fresh process; the line of JSON that it ends with.

    Raises:
        subprocess.CalledProcessError: with the process's error output as a note.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=site.environ(), capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command)
        error.add_note(done.stderr[-2000:])
        raise error
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report


def one(system: Any, job: str, arguments: list[Any]) -> dict[str, float]:
    """Enqueue one job."""
    system.enqueue(job, arguments)
    return {}


def warm(system: Any, job: str, arguments: list[Any]) -> dict[str, float]:
    """Enqueue some jobs that do not count."""
    system.enqueue_many(job, [arguments] * _WARM)
    return {}


def singly(system: Any, job: str, arguments: list[Any], number: int) -> dict[str, float]:
    """Enqueue jobs one after the other, each confirmed."""

    def all_of_them() -> None:
        for _ in range(number):
            system.enqueue(job, arguments)

    return _measured(all_of_them, number)


def in_batches(system: Any, job: str, arguments: list[Any], number: int, batch: int) -> dict[str, float]:
    """Enqueue jobs so many at a time, by the quickest way the system offers."""

    def all_of_them() -> None:
        for _ in range(number // batch):
            system.enqueue_many(job, [arguments] * batch)

    return _measured(all_of_them, number // batch * batch)


def at_once(system: Any, job: str, arguments: list[Any], number: int) -> dict[str, float]:
    """Enqueue all jobs in one call."""
    return _measured(lambda: system.enqueue_many(job, [arguments] * number), number)


def steadily(system: Any, job: str, payload: str, number: int, per_second: float) -> dict[str, float]:
    """Enqueue jobs that carry the time just before their enqueuing, at a steady rate."""
    start = time.monotonic()
    for turn in range(number):
        # The clock's beat, not a wait for anything.
        time.sleep(max(0.0, start + turn / per_second - time.monotonic()))
        system.enqueue(job, [time.time(), payload])
    return {"seconds": time.monotonic() - start}


VERBS: dict[str, Callable[..., dict[str, float]]] = {
    verb.__name__: verb
    for verb in (
        one,
        warm,
        singly,
        in_batches,
        at_once,
        steadily,
        answers.round_trips,
        answers.one_way,
        answers.mapped,
        answers.reduced,
    )
}


def _measured(action: Callable[[], None], number: int) -> dict[str, float]:
    from benchmarks.processes import cpu_of

    broker_pid = Site.here().broker_pid
    broker, own, started = cpu_of(broker_pid), time.process_time(), time.perf_counter()
    action()
    seconds, used = time.perf_counter() - started, time.process_time() - own
    return {
        "jobs/s": number / seconds,
        "producer µs": used / number * 1e6,
        "broker µs": (cpu_of(broker_pid) - broker) / number * 1e6,
    }


def main(name: str, orders: Iterable[str]) -> None:
    """Play the part of an application that enqueues: for each order, a verb and its arguments as JSON, a line of JSON."""
    from benchmarks.systems.registry import system

    played = system(name, Site.here())
    played.open()
    try:
        for order in orders:
            verb, *arguments = json.loads(order)
            print(json.dumps(VERBS[verb](played, *arguments)), flush=True)
    finally:
        played.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or sys.stdin)
