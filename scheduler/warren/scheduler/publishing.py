"""A fire on its way to the broker: on the connection that has the leader's lock, so that it cannot arrive once another one leads."""

import time

from warren import control, topology
from warren.amqp.seam import Connection, Message, Returned
from warren.asking import publish_until_taken
from warren.control import CancelJobs
from warren.declaring import declare_each
from warren.job import Body, Job, to_message
from warren.schedule import Order
from warren.scheduler.looking import Outgoing
from warren.settings import Settings
from warren.topology import SCHEDULE_JOB, Names

_WHY = "the next job of its schedule {schedule!r} is due"


def message_of(order: Order, job_id: str, now: float) -> Message:
    """Return the message of a schedule's job."""
    return to_message(
        Job(
            job_id,
            Body(order.task, order.args, order.kwargs),
            order.queue,
            enqueued_at=now,
            ready_at=now,
            first_ready_at=now,
            expires_at=None if order.expires is None else now + order.expires,
            deadline_at=None if order.deadline is None else now + order.deadline,
            priority=order.priority,
            reply_to=SCHEDULE_JOB if order.wants_result else None,
            wants_result=order.wants_result,
            limits=order.limits,
        )
    )


class Publisher:
    """Publishes fires over one connection, and declares the queues they go to.

    Args:
        connection: the leader's.
        settings: whether it may declare.
    """

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._names = Names(settings.namespace)
        self._declares = settings.declare
        self._declared: set[str] = set()

    async def open(self) -> None:
        """Declare what every schedule needs.

        Raises:
            AmqpError, TopologyMismatch: see `declare_each`.
        """
        if self._declares:
            items = (*topology.base(self._names), *topology.schedules(self._names))
            await declare_each(self._connection, *items, who="scheduler")

    async def publish(self, outgoing: Outgoing) -> None:
        """Publish one, confirmed, after the cancellation of what it comes instead of.

        Raises:
            AmqpError: the broker did not take it, or the connection is lost.
            TopologyMismatch: its queue cannot be declared.
        """
        fire, order = outgoing.fire, outgoing.fire.job
        if outgoing.cancels:
            why = _WHY.format(schedule=fire.schedule)
            command = CancelJobs(outgoing.cancels, time.time(), why)
            message, key = control.command_message(command, command.at)
            await publish_until_taken(self._connection, message, self._names.control, key)
        await self._declare(order.queue)
        try:
            message = message_of(order, fire.job_id, time.time())
            await self._connection.publish(message, self._names.jobs, order.queue)
        except Returned:
            self._declared.discard(order.queue)  # somebody has deleted it; the next try makes it anew
            raise

    async def _declare(self, queue: str) -> None:
        if self._declares and queue not in self._declared:
            await declare_each(self._connection, *topology.work_queue(self._names, queue), who="scheduler")
            self._declared.add(queue)
