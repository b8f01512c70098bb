"""Dramatiq, with one thread in each of its processes."""

from collections.abc import Sequence
from typing import Any

from benchmarks.site import Site
from benchmarks.systems.system import Arguments, Command, Portrait, module

_JOBS = "benchmarks.jobs.for_dramatiq"


class Dramatiq:
    """`actor.send` and `dramatiq --processes N --threads 1`."""

    portrait = Portrait(
        "dramatiq",
        ("dramatiq", "pika"),
        "quorum queue by overriding a private method; confirm_delivery; dramatiq_queue_prefetch 1; one thread a process",
        "no batches: many jobs are enqueued one by one; nothing asynchronous; no setting for quorum queues",
    )

    def __init__(self, site: Site) -> None:
        self._site = site

    def worker(self) -> Command:
        argv = module("dramatiq", _JOBS, "--processes", str(self._site.processes), "--threads", "1")
        environ = self._site.environ()
        if self._site.prefetch is not None:
            environ["dramatiq_queue_prefetch"] = str(self._site.prefetch)
        return Command(argv, environ)

    def queue(self) -> str:
        return f"{self._site.space}.dramatiq"

    def open(self) -> None:
        from benchmarks.jobs import for_dramatiq

        self._jobs: Any = for_dramatiq

    def enqueue(self, job: str, arguments: Arguments) -> None:
        getattr(self._jobs, job).send(*arguments)

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        actor = getattr(self._jobs, job)
        for arguments in calls:
            actor.send(*arguments)

    def close(self) -> None:
        self._jobs.broker.close()
