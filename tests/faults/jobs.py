"""The tasks of the fault tests; what was run is written down by appending lines to a file, which no crash takes back."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client import Counter

from warren import context
from warren.producer import Producer
from warren.retry import Retry
from warren.task import task

COUNTED = Counter("faults_things_total", "Things a task counted.", ["kind"])


def write_down(path: str, **what: object) -> None:
    line = json.dumps(what) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)


def wait_for(gate: str) -> None:
    """Returns when this file is there, at once if it has no name.

    A test that needs a job to run during something opens the gate when that has happened: no machine is too slow for it.
    """
    while gate and not Path(gate).exists():
        time.sleep(0.01)


@task
def record(path: str, number: int, until: str = "") -> int:
    running = context.job()
    write_down(path, number=number, attempt=running.attempt, at=time.time(), id=running.id, begins=True)
    wait_for(until)
    write_down(path, number=number, attempt=running.attempt, at=time.time(), id=running.id)
    return number


@task
def listen_for_interrupts(path: str, until: str) -> list[int]:
    """Returns the interrupts that reached its process, or a program that it started in its process group."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as program:
            write_down(path, begins=True, pid=program.pid)
            wait_for(until)
            heard += [program.returncode] if program.poll() is not None else []
            program.kill()
    finally:
        signal.signal(signal.SIGINT, before)
    return heard


@task
def tell_progress(until: str) -> None:
    """Says how far it is, and waits there."""
    context.progress(3, 10)
    wait_for(until)


@task
def record_from_second_on(number: int, path: str, until: str) -> int:
    """As `record` of a map: number 0 is done at once, the others wait."""
    return record(path, number, until=until if number else "")


@task(result=False)
def record_for(path: str, number: int, seconds: float) -> None:
    """Writes down when it began and ended, by its own clock, and whose process it was: all of a worker have one parent."""
    begun = time.time()
    time.sleep(seconds)
    write_down(path, number=number, begun=begun, ended=time.time(), nursery=os.getppid())


@task(result=False)
def record_and_enqueue(path: str, number: int, queue: str) -> None:
    """Writes itself down, and has another job enqueued, confirmed, before it ends."""
    write_down(path, number=number, queue=context.job().queue)
    with Producer(http_port=-1) as producer:
        producer.enqueue(record_queue.options(queue=queue), path, number)


@task(result=False)
def record_queue(path: str, number: int) -> None:
    write_down(path, number=number, queue=context.job().queue)


@task(result=False)
def record_quietly(path: str, number: int) -> None:
    write_down(path, number=number, at=time.time())


@task(retry=Retry(attempts=5, wait=0.5))
def fail_while(path: str, cause: str) -> int:
    """Fails as long as the file `cause` is there."""
    running = context.job()
    write_down(path, attempt=running.attempt, last_error=running.last_error, at=time.time())
    if Path(cause).exists():
        raise ConnectionError(f"attempt {running.attempt} found {Path(cause).name}")
    return running.attempt


@task(retry=Retry(attempts=3, wait=0.2))
def fail_once(path: str, until: str = "") -> int:
    attempt = context.job().attempt
    write_down(path, attempt=attempt)
    if attempt == 1:
        wait_for(until)
        raise ConnectionError("the first attempt fails")
    return attempt


@task(max_crashes=2)
def kill_itself(path: str) -> None:
    write_down(path, attempt=context.job().attempt, pid=os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


@task(max_crashes=3)
def crash_once(path: str, number: int) -> int:
    write_down(path, number=number, attempt=context.job().attempt)
    if context.job().attempt == 1:
        os._exit(7)
    return number


@task(retry=Retry(attempts=2, wait=0.1))
def square(number: int, bad: list[int], deadly: list[int], flaky: list[int]) -> int:
    attempt = context.job().attempt
    if number in bad:
        raise ValueError(f"{number} is bad")
    if number in deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if number in flaky and attempt == 1:
        raise ConnectionError(f"{number} fails at first")
    return number * number


@task
def count(kind: str) -> None:
    COUNTED.labels(kind).inc()


@task(timeout=0.3, retry=Retry(attempts=1))
def too_slow() -> None:
    time.sleep(30)


@task(kill_after=0.5, max_crashes=1)
def stuck() -> None:
    while True:
        try:
            time.sleep(30)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@task(max_crashes=1)
def deaf(path: str, number: int) -> None:
    """Goes on whatever is raised in it, from when it has written down its number."""
    said = False
    while True:
        try:
            if not said:
                write_down(path, number=number, begins=True)
                said = True
            time.sleep(30)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@task(max_crashes=9)
def note_or_die(number: int, path: str, every: int) -> int:
    """Kills its process at the first attempt at one item in so many."""
    write_down(path, number=number)
    if number % every == every - 1 and context.job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
