"""Doing what follows for workflows: publishing jobs and results, confirmed.

Jobs go over the connection that has the leader's lock: what a leader that hung still sends does not arrive once another one leads.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from warren import delay, topology
from warren.amqp.seam import AmqpError, Connection, ConnectionLost, Message, Nacked, Returned
from warren.asking import publish_until_taken
from warren.conductor.ledger import Announce, Due
from warren.declaring import declare_each
from warren.delay import DelayTooLong
from warren.errors import InvalidName, TopologyMismatch
from warren.job import Body, Job, to_message
from warren.result import to_message as result_message
from warren.settings import Settings
from warren.topology import Names

_PATIENCE_SECONDS = 600.0
"""For a queue that takes no more jobs; then its node has failed."""


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        done: entries of the outbox.
        refused: those that can never be done, and why.
        left: those that could not be done now, and why not.
    """

    done: list[int] = field(default_factory=list)
    refused: list[tuple[Due, str]] = field(default_factory=list)
    left: list[tuple[Due, str]] = field(default_factory=list)


class _Never(Exception):
    """It cannot be done, now or later."""


class Doer:
    """Publishes over one connection, and declares what jobs need.

    Args:
        connection: the leader's.
        settings: whether it may declare, and how long a confirm may take.
    """

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._names = Names(settings.namespace)
        self._declares = settings.declare
        self._timeout = settings.publish_timeout
        self._declared: set[str] = set()
        self._declaring = asyncio.Lock()

    async def do(self, dues: Sequence[Due]) -> Outcome:
        """Do it all at once.

        Raises:
            ConnectionLost: some of it may not be done.
        """
        outcome = Outcome()
        await asyncio.gather(*(self._try(due, outcome) for due in dues))
        return outcome

    async def announce(self, announced: Announce) -> None:
        """Publish a workflow's result.

        Raises:
            AmqpError: the broker did not take it.
        """
        told = announced.result
        message, key = result_message(told, Job(told.id, Body(told.task), "", reply_to=announced.reply_to or None))
        await publish_until_taken(self._connection, message, self._names.results, key)

    async def _try(self, due: Due, outcome: Outcome) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._do(due)
            outcome.done.append(due.entry.id)
        except _Never as error:
            outcome.refused.append((due, str(error)))
        except ConnectionLost:
            raise
        except (AmqpError, TimeoutError) as error:
            why = str(error) or f"the broker did not confirm within {self._timeout:g} s"
            patient = time.time() - due.entry.noted_at < _PATIENCE_SECONDS or not isinstance(error, Nacked)
            (outcome.left if patient else outcome.refused).append((due, why))
        except Exception as error:  # noqa: BLE001 - a mistake of ours, that tried again would be the same: the others go on
            outcome.refused.append((due, f"{type(error).__name__}: {error}"))

    async def _do(self, due: Due) -> None:
        match due.todo:
            case Job() as job:
                await self._enqueue(job)
            case Announce() as announced:
                await self.announce(announced)
            case _:
                raise AssertionError("jobs are cancelled by `warren.conductor.cancelling`")

    async def _enqueue(self, job: Job) -> None:
        try:
            message, exchange, key = self._addressed(job)
            await self._declare(job.queue, delayed=exchange != self._names.jobs)
            try:
                await self._connection.publish(message, exchange, key)
            except Returned:
                # Somebody has deleted the queue: it is made anew where we may, once.
                self._declared.clear()
                await self._declare(job.queue, delayed=exchange != self._names.jobs)
                await self._connection.publish(message, exchange, key)
        except Returned as error:
            raise _Never(f"the broker has no queue {job.queue!r}: start a worker that serves it, then retry") from error
        except (InvalidName, DelayTooLong, TopologyMismatch) as error:
            raise _Never(str(error)) from error

    def _addressed(self, job: Job) -> tuple[Message, str, str]:
        message, wait = to_message(job), job.ready_at - time.time()
        if wait <= 0:
            return message, self._names.jobs, job.queue
        exchange, key = delay.route(self._names, job.queue, wait)
        # In a TTL queue of RabbitMQ 4.0 to 4.2 a priority would let later jobs overtake, and delay, earlier ones.
        return replace(message, priority=None), exchange, key

    async def _declare(self, queue: str, *, delayed: bool) -> None:
        if not self._declares:
            return
        async with self._declaring:
            if f"queue {queue}" not in self._declared:
                await declare_each(self._connection, *topology.work_queue(self._names, queue), who="scheduler")
                self._declared.add(f"queue {queue}")
            if delayed and "delays" not in self._declared:
                there = await self._connection.exists(topology.delays_marker(self._names))
                items = () if there else topology.delays(self._names)
                await declare_each(self._connection, *items, who="scheduler")
                self._declared.add("delays")
