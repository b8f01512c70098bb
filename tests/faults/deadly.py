"""Tasks that die in many ways, and say something before."""

import asyncio
import ctypes
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from tests.faults.jobs import wait_for, write_down

from warren import context
from warren.task import task


@task(max_crashes=1)
def say_and_die(how: str) -> None:
    """Says one line by Python, one by C and one by another program, and dies."""
    print(f"python says {how}")
    os.write(1, b"c says so\n")
    subprocess.run([sys.executable, "-c", "import sys; print('a program says so', file=sys.stderr)"], check=True)
    sys.stderr.write(f"last words before {how}")
    sys.stderr.flush()
    die(how)


@task(max_crashes=1)
async def say_and_die_in_a_coroutine(how: str) -> None:
    print(f"a coroutine says {how}")
    await asyncio.sleep(0)
    die(how)


def die(how: str) -> None:
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "SIGSEGV":
        ctypes.string_at(0)
    elif how == "SIGABRT":
        ctypes.CDLL(None).abort()
    else:
        os._exit(3)


@task
def say(what: str) -> None:
    print(what)


@task
def print_and_crash_once(log: str) -> str:
    running = context.job()
    write_down(log, attempt=running.attempt)
    if running.attempt == 1:
        print("much " * 10_000)
        die("SIGSEGV")
    return running.last_error.partition(",")[0]


@task(max_crashes=1)
def die_silently() -> None:
    die("SIGKILL")


@task
def print_much(megabytes: int) -> None:
    line = "x" * 1023
    for _ in range(megabytes * 1024):
        print(line)


@task(kill_after=0.5, max_crashes=1)
def hang(where: str, log: str) -> None:
    """Hangs for good in a plain loop, asleep, or in C code that holds the interpreter's lock."""
    write_down(log, where=where)
    {"loop": _hang_in_a_loop, "sleep": _hang_asleep, "C": _hang_in_c, "thread": _hang_in_a_thread}[where]()


def _hang_in_a_loop() -> None:
    while True:
        pass


def _hang_asleep() -> None:
    time.sleep(600)


def _hang_in_c() -> None:
    deque(itertools.repeat(0), maxlen=0)


def _hang_in_a_thread() -> None:
    thread = threading.Thread(target=_hang_asleep)
    thread.start()
    thread.join()


@task
def wait_in_a_function(gate: str, log: str) -> None:
    write_down(log, pid=os.getpid())
    _wait_here(gate)


def _wait_here(gate: str) -> None:
    wait_for(gate)


@task(max_crashes=3)
def poison(log: str, number: int) -> None:
    """Kills its process whenever it runs."""
    write_down(log, number=number, attempt=context.job().attempt)
    print(f"poison {number} works")
    die("SIGKILL")


@task(max_crashes=3)
def eat(log: str, megabytes: int) -> None:
    """Takes memory until its process has as much as it may; the interpreter is gone with it."""
    write_down(log, number="eater", attempt=context.job().attempt)
    allowed = megabytes << 20
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    print("eating")
    eaten = []
    try:
        while True:
            eaten.append(bytearray(1 << 20))
    except MemoryError:
        eaten.clear()
        ctypes.CDLL(None).abort()


@task(max_crashes=1)
def eat_all() -> None:
    """Takes memory until somebody does something about it."""
    print("eating all")
    eaten = []
    while True:
        eaten.append(b"x" * (1 << 20))


@task(max_crashes=3)
def kill_the_worker(log: str) -> None:
    """Kills the worker itself: the parent of the nursery, which is our parent."""
    write_down(log, number="killer", attempt=context.job().attempt)
    nursery = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="ascii")
    os.kill(int(nursery.rpartition(")")[2].split()[1]), signal.SIGKILL)
    time.sleep(600)
