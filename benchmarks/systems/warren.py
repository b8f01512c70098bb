"""Warren, with its blocking producer and with its asyncio producer."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.site import Site
from benchmarks.systems.system import Arguments, Command, Portrait, module

if TYPE_CHECKING:
    from warren.producer import AsyncProducer, Producer

_QUIET = ("--http-port", "0", "--log-level", "warning")


class Warren:
    """`Producer` and `warren worker`."""

    portrait = Portrait(
        "warren",
        ("warren", "pika", "aio-pika"),
        "quorum queues, confirms and persistence are not optional; one consumer of prefetch 1 a process, prefetch 1 "
        "meaning --read-ahead 0 where this version has it; results off (result=False); /metrics is served",
    )
    producer: "Producer"

    def __init__(self, site: Site) -> None:
        self._site = site

    def worker(self) -> Command:
        flags = () if self._site.prefetch is None else read_ahead_off()
        names = ("--url", self._site.url, "--namespace", self._site.space, "--processes", str(self._site.processes))
        argv = module("warren", "worker", "benchmarks.jobs.for_warren", *_QUIET, *names, *flags)
        return Command(argv, self._site.environ())

    def scheduler(self) -> Command:
        names = ("--url", self._site.url, "--namespace", self._site.space)
        store = ("--store", f"sqlite:///{self._site.folder}/store.db")
        return Command(module("warren", "scheduler", *_QUIET, *names, *store), self._site.environ())

    def queue(self) -> str:
        from warren.topology import Names

        return Names(self._site.space).queue("default")

    def open(self) -> None:
        from warren.producer import Producer

        self.producer = Producer(url=self._site.url, namespace=self._site.space).__enter__()

    def enqueue(self, job: str, arguments: Arguments) -> None:
        self.producer.enqueue(_task(job), *arguments)

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        task = _task(job)
        self.producer.enqueue_many(task.call(*arguments) for arguments in calls)

    def close(self) -> None:
        self.producer.close()


class WarrenCoroutines(Warren):
    """A worker of coroutine tasks."""

    def worker(self) -> Command:
        places = ("--processes", str(self._site.processes), "--coroutines", str(self._site.coroutines))
        names = ("--url", self._site.url, "--namespace", self._site.space)
        argv = module("warren", "worker", "benchmarks.jobs.for_warren_coroutines", *_QUIET, *names, *places)
        return Command(argv, self._site.environ())

    def enqueue(self, job: str, arguments: Arguments) -> None:
        from benchmarks.jobs import for_warren_coroutines

        self.producer.enqueue(getattr(for_warren_coroutines, job), *arguments)


class WarrenAsync(Warren):
    """`AsyncProducer`; many at a time are single awaited calls under `asyncio.gather`."""

    portrait = Portrait("warren-async", ("warren", "aio-pika"), "AsyncProducer; many by asyncio.gather")
    _async: "AsyncProducer"

    def open(self) -> None:
        from warren.producer import AsyncProducer

        self._loop = asyncio.new_event_loop()
        self._async = AsyncProducer(url=self._site.url, namespace=self._site.space)
        self._loop.run_until_complete(self._async.__aenter__())

    def enqueue(self, job: str, arguments: Arguments) -> None:
        self._loop.run_until_complete(self._async.enqueue(_task(job), *arguments))

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        self._loop.run_until_complete(self._gather(_task(job), calls))

    async def _gather(self, task: Any, calls: Sequence[Arguments]) -> None:
        await asyncio.gather(*(self._async.enqueue(task, *arguments) for arguments in calls))

    def close(self) -> None:
        self._loop.run_until_complete(self._async.close())
        self._loop.close()


def read_ahead_off() -> tuple[str, ...]:
    """Return the flags that keep a worker from taking a job before a process is free; none where it never does."""
    from warren.settings import KEYS

    return ("--read-ahead", "0") if "read_ahead" in KEYS else ()


def _task(job: str) -> Any:
    from benchmarks.jobs import for_warren

    return getattr(for_warren, job)
