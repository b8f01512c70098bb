"""Taskiq, on taskiq-aio-pika."""

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.site import Site
from benchmarks.systems.system import Arguments, Command, Portrait, module

_BROKER = "benchmarks.jobs.for_taskiq:broker"


class Taskiq:
    """`task.kiq` and `taskiq worker`."""

    portrait = Portrait(
        "taskiq",
        ("taskiq", "taskiq-aio-pika", "aio-pika"),
        "quorum queue; confirms are aio-pika's default; qos 1; acknowledged when executed; many by asyncio.gather",
        "no blocking producer: single jobs are awaited one after the other",
    )

    def __init__(self, site: Site) -> None:
        self._site = site

    def worker(self) -> Command:
        how = ("--workers", str(self._site.processes), "--ack-type", "when_executed", "--log-level", "WARNING")
        return Command(module("taskiq", "worker", _BROKER, *how), self._site.environ())

    def queue(self) -> str:
        return f"{self._site.space}.taskiq"

    def open(self) -> None:
        from benchmarks.jobs import for_taskiq

        self._jobs: Any = for_taskiq
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(for_taskiq.broker.startup())

    def enqueue(self, job: str, arguments: Arguments) -> None:
        self._loop.run_until_complete(getattr(self._jobs, job).kiq(*arguments))

    def enqueue_many(self, job: str, calls: Sequence[Arguments]) -> None:
        self._loop.run_until_complete(self._gather(getattr(self._jobs, job), calls))

    async def _gather(self, task: Any, calls: Sequence[Arguments]) -> None:
        await asyncio.gather(*(task.kiq(*arguments) for arguments in calls))

    def close(self) -> None:
        self._loop.run_until_complete(self._jobs.broker.shutdown())
        self._loop.close()
