"""Cancelling the jobs of a workflow's nodes, as a producer cancels its own: tombstones for the workers, and results for what only waits."""

import asyncio
import time
from collections.abc import Sequence

from warren import control
from warren.amqp.seam import Connection
from warren.asking import Asker, publish_until_taken
from warren.control import CancelJobs, Held, Reply, ResultsTold
from warren.job import Job
from warren.producer.cancelling import ANSWER_SECONDS, gathered
from warren.result import Result, to_message
from warren.states import JobState
from warren.topology import Names

_TOGETHER = 1_000
"""Jobs in one command."""


class Canceller:
    """Cancels jobs over one connection."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._asker: Asker | None = None

    async def tombstones(self, jobs: Sequence[Job], reason: str) -> list[Job]:
        """Have the workers end what they run of these jobs, and return the others: they wait, and will not run.

        Raises:
            AmqpError: the tombstones may not be there.
        """
        waiting: list[Job] = []
        for start in range(0, len(jobs), _TOGETHER):
            some = jobs[start : start + _TOGETHER]
            ids = tuple(job.id for job in some)
            held = gathered(await self._ask(ids, reason))
            theirs = {*held.running, *held.withdrawn, *held.ended}
            waiting += [job for job in some if job.id not in theirs]
        return waiting

    async def tell(self, jobs: Sequence[Job], reason: str) -> None:
        """Publish that jobs which only wait are cancelled, and tell the workers that this was told.

        Raises:
            AmqpError: it may not have been published.
        """
        now = time.time()
        sent = []
        for job in jobs:
            told = Result(job.id, job.task, job.queue, JobState.CANCELLED, 0, now, reason=reason)
            message, key = to_message(told, job)
            sent.append(publish_until_taken(self._connection, message, self._names.results, key))
        await asyncio.gather(*sent)
        if jobs:
            # After the results: a worker that dies in between tells them twice rather than never.
            message, key = control.command_message(ResultsTold(tuple(job.id for job in jobs)), now)
            await publish_until_taken(self._connection, message, self._names.control, key)

    async def _ask(self, ids: tuple[str, ...], reason: str) -> list[Reply]:
        if self._asker is None:
            self._asker = await Asker.open(self._connection, self._names)

        def enough(replies: Sequence[Reply]) -> bool:
            held: Held = gathered(replies)
            return set(ids) <= {*held.running, *held.withdrawn, *held.ended}

        return await self._asker.ask(CancelJobs(ids, time.time(), reason), ANSWER_SECONDS, enough=enough)
