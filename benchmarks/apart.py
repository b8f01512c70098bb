"""`python -m benchmarks.apart SYSTEM VERB ARGUMENTS`: enqueues in a fresh process, and prints one line of JSON.

A process of its own makes the producer's CPU time its own, and no system pays for what another one has imported.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import answers
from benchmarks.site import Site

_WARM = 50
_SECONDS = 300


def apart(site: Site, system: str, verb: str, *arguments: Any) -> dict[str, float]:
    """Have a system's application do it in a fresh process; what it reported."""
    return fresh(site, "benchmarks.apart", system, verb, json.dumps(arguments))


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


def singly(system: Any, job: str, arguments: list[Any], number: int) -> dict[str, float]:
    """Enqueue jobs one after the other, each confirmed."""

    def all_of_them() -> None:
        for _ in range(number):
            system.enqueue(job, arguments)

    system.enqueue_many(job, [arguments] * _WARM)
    return _measured(all_of_them, number)


def in_batches(system: Any, job: str, arguments: list[Any], number: int, batch: int) -> dict[str, float]:
    """Enqueue jobs so many at a time, by the quickest way the system offers."""

    def all_of_them() -> None:
        for _ in range(number // batch):
            system.enqueue_many(job, [arguments] * batch)

    system.enqueue_many(job, [arguments] * _WARM)
    return _measured(all_of_them, number // batch * batch)


def at_once(system: Any, job: str, arguments: list[Any], number: int) -> dict[str, float]:
    """Enqueue all jobs in one call."""
    system.enqueue_many(job, [arguments] * _WARM)
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
    for verb in (one, singly, in_batches, at_once, steadily, answers.round_trips, answers.one_way, answers.mapped)
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


def main(name: str, verb: str, arguments: list[Any]) -> None:
    """Play the part of an application that enqueues."""
    from benchmarks.systems.registry import system

    played = system(name, Site.here())
    played.open()
    try:
        report = VERBS[verb](played, *arguments)
    finally:
        played.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
