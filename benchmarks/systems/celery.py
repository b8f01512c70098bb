"""Celery, with its prefork pool."""

from collections.abc import Sequence
from typing import Any

from benchmarks.site import Site
from benchmarks.systems.system import Arguments, Command, Portrait, module

_JOBS = "benchmarks.jobs.for_celery"


class Celery:
    """`apply_async` and `celery worker --pool prefork`."""

    portrait = Portrait(
        "celery",
        ("celery", "kombu"),
        "quorum queue; confirm_publish; task_acks_late; worker_prefetch_multiplier 1; results ignored; prefork",
        "no batches: many jobs are enqueued one by one; nothing asynchronous",
    )

    def __init__(self, site: Site) -> None:
        self._site = site

    def worker(self) -> Command:
        how = ("--pool", "prefork", "--concurrency", str(self._site.processes), "--loglevel", "WARNING")
        return Command(module("celery", "-A", _JOBS, "worker", *how), self._site.environ())

    def queue(self) -> str:
        return f"{self._site.space}.celery"

    def open(self) -> None:
        from benchmarks.jobs import for_celery

        self._jobs: Any = for_celery

    def enqueue(self, job: str, arguments: Arguments) -> None:
        getattr(self._jobs, job).apply_async(arguments)

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        task = getattr(self._jobs, job)
        # One producer for all of them spares taking it from its pool each time.
        with self._jobs.app.producer_or_acquire() as producer:
            for arguments in calls:
                task.apply_async(arguments, producer=producer)

    def close(self) -> None:
        self._jobs.app.close()
