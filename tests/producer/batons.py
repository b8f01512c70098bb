"""A conductor by hand: it does what the machine says, over the in-memory broker, and keeps nothing."""

import threading
from types import TracebackType
from typing import Any, Self

import msgspec
from tests.producer.hands import NAMES

from warren import job, result, topology
from warren.amqp import memory
from warren.amqp.seam import Delivery, Message, Settle
from warren.job import Body, Job
from warren.producer.io_thread import IoThread
from warren.workflow import machine, messages
from warren.workflow.graph import Graph
from warren.workflow.jobs import job_of, result_of
from warren.workflow.machine import CancelAsked, Ended, Enqueue, Finish, Progress, RetryAsked, Step

NOW = 1_700_000_000.0
LIMIT = 100_000


class Baton:
    """Conducts workflows on a thread of its own; keeps the requests as they came."""

    def __init__(self, broker: str) -> None:
        self.requests: list[messages.Request] = []
        self.cancelled: list[str] = []
        self._url = f"memory://{broker}"
        self._running: dict[str, tuple[Graph, Progress]] = {}
        self._values: dict[str, dict[str, msgspec.Raw]] = {}
        self._io = IoThread("baton")

    def __enter__(self) -> Self:
        self._io.call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._io.call(self._connection.close())
        self._io.stop()

    async def _open(self) -> None:
        connection = self._connection = await memory.connect(self._url)
        await connection.declare(*topology.base(NAMES), *topology.workflows(NAMES))
        await connection.consume(NAMES.workflows, self._take, prefetch=50)

    def _take(self, delivery: Delivery) -> None:
        message = delivery.message
        if delivery.exchange == NAMES.workflows:
            self._hear(messages.from_message(message), str(message.message_id))
        elif delivery.exchange == NAMES.results and (found := result.from_message(message)) is not None:
            workflow, node = str(message.headers[job.WORKFLOW]), str(message.headers[job.NODE])
            self._values[workflow][node] = found.value
            self._apply(workflow, Ended(node, found.id, found.state, NOW, found.reason, found.error, found.error_type))
        self._connection.settle(delivery, Settle.ACK)

    def _hear(self, request: messages.Request, asked: str) -> None:
        self.requests.append(request)
        match request:
            case messages.Submit(workflow=definition):
                graph = Graph.of(definition)
                self._values[definition.id] = {}
                self._do(graph, machine.begin(graph, NOW))
            case messages.Cancel() if request.id in self._running:
                self._apply(request.id, CancelAsked(asked, NOW, request.reason))
            case messages.Retry() if request.id in self._running:
                self._apply(request.id, RetryAsked(asked, NOW))

    def _apply(self, workflow: str, happening: Any) -> None:
        graph, progress = self._running[workflow]
        self._do(graph, machine.apply(graph, progress, happening))

    def _do(self, graph: Graph, step: Step) -> None:
        definition = graph.definition
        values = self._values[definition.id]
        self._running[definition.id] = graph, step.progress
        for action in step.actions:
            match action:
                case Enqueue(node=node, run=run):
                    made = job_of(definition, node, run, values, now=NOW, payload_limit=LIMIT)
                    self._publish(job.to_message(made), NAMES.jobs, made.queue)
                case machine.CancelJobs(jobs=jobs):
                    self.cancelled += jobs.values()
                case Finish():
                    pass
        said = result_of(graph, step.progress, values, NOW)
        waits = Job(definition.id, Body(said.task), "", reply_to=definition.reply_to)
        self._publish(result.to_message(said, waits)[0], NAMES.results, definition.reply_to or result.NOBODY)

    def _publish(self, message: Message, exchange: str, key: str) -> None:
        self._connection.publish(message, exchange, key, mandatory=False)


class Requested:
    """Hears what is said of workflows, and does nothing about it."""

    def __init__(self, broker: str) -> None:
        self._url = f"memory://{broker}"
        self._heard: list[messages.Request] = []
        self._changed = threading.Condition()
        self._io = IoThread("requested")

    def __enter__(self) -> Self:
        self._io.call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._io.call(self._connection.close())
        self._io.stop()

    def took(self, count: int) -> list[messages.Request]:
        """Wait until so many requests came; return all of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._heard) >= count, timeout=60)
            return self._heard[:]

    async def _open(self) -> None:
        connection = self._connection = await memory.connect(self._url)
        await connection.declare(*topology.base(NAMES), *topology.workflows(NAMES))
        await connection.consume(NAMES.workflows, self._take, prefetch=50)

    def _take(self, delivery: Delivery) -> None:
        if delivery.exchange == NAMES.workflows:
            with self._changed:
                self._heard.append(messages.from_message(delivery.message))
                self._changed.notify_all()
        self._connection.settle(delivery, Settle.ACK)
