"""A conductor in this process on an in-memory broker, a worker by hand that does what a scenario says, and crashes at will."""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry
from tests.support import eventually_async

from warren import dead_letter, job, result, topology
from warren.amqp import memory
from warren.amqp.seam import Connection, Delivery, Message, Settle
from warren.conductor.duty import Conducting
from warren.conductor.metrics import ConductorMetrics
from warren.conductor.sweeping import OVERDUE_SECONDS
from warren.dead_letter import Evidence
from warren.events import Event
from warren.job import Job
from warren.outcome import Failure
from warren.rebuilding import Life
from warren.result import Result
from warren.service.service import Service
from warren.settings import Settings
from warren.states import JobState
from warren.store import workflows as store
from warren.store.database import Database
from warren.store.workflows import Entry, Stored
from warren.topology import WORKFLOWS, Names
from warren.workflow import messages
from warren.workflow.graph import Definition
from warren.workflow.machine import Progress
from warren.workflow.messages import Request
from warren.workflow.states import WorkflowState

Work = Callable[[Job], tuple[JobState, object]]


def done(_: Job) -> tuple[JobState, object]:
    return JobState.DONE, None


@dataclass(slots=True)
class Stage:
    """One namespace on an in-memory broker and one store."""

    database: Database
    settings: Settings
    hands: Connection
    """Of the worker, and of whoever submits."""
    work: Work = done
    copies: int = 1
    """How often each result is delivered."""
    events: list[Event] = field(default_factory=list)
    ran: list[Job] = field(default_factory=list)
    held: list[Delivery] | None = None
    """Jobs that wait for `release`, when they shall."""
    told: dict[str, list[Result]] = field(default_factory=dict)
    """Workflows' own results, by their ids."""
    service: Service | None = None
    life: Life | None = None
    leading: Connection | None = None

    @property
    def names(self) -> Names:
        return Names(self.settings.namespace)

    async def open(self) -> None:
        names = self.names
        await self.hands.declare(*topology.everything(names, ("default",)))
        await self.hands.declare(
            topology.Queue("replies", exclusive=True), topology.Binding(names.results, "replies", "caller")
        )
        await self.hands.consume(names.queue("default"), self._take, prefetch=1000)
        await self.hands.consume("replies", self._hear, no_ack=True)

    async def lead(self, overdue_seconds: float = OVERDUE_SECONDS) -> None:
        """Begin to conduct, as a scheduler that has just become the leader."""
        registry = CollectorRegistry()
        metrics = ConductorMetrics(registry)
        self.service = Service("scheduler", self.settings, registry, self.events.append, metrics)
        self.leading = await self.service.connect("leading")
        self.life = await Conducting(self.service, self.database, metrics, overdue_seconds=overdue_seconds).start(
            self.leading
        )

    async def crash(self) -> None:
        """End it wherever it is; nothing is finished, what was not acked comes again."""
        if self.life is None or self.leading is None or self.service is None:
            return
        await self.leading.close()
        await self.life.close()
        await self.service.store.close()
        self.life = None

    async def say(self, request: Request, times: int = 1) -> None:
        message = messages.to_message(request, time.time())
        for _ in range(times):
            await self.hands.publish(message, self.names.workflows, WORKFLOWS)

    async def submit(self, definition: Definition) -> None:
        await self.say(messages.Submit(msgspec.structs.replace(definition, reply_to="caller")))

    def stored(self, workflow: str) -> Stored | None:
        with self.database.read() as connection:
            return store.find(connection, workflow)

    def undone(self) -> list[Entry]:
        """What is noted and not struck out yet."""
        with self.database.read() as connection:
            return store.to_do(connection)

    async def ended(self, workflow: str) -> Stored:
        """Wait until a workflow has ended, and return it."""

        async def found() -> Stored | None:
            there = self.stored(workflow)
            return there if there is not None and there.progress.state is not WorkflowState.RUNNING else None

        there = await eventually_async(found)
        assert there is not None
        return there

    async def changed(self, workflow: str, before: Progress) -> None:
        """Wait until a workflow that had ended goes on."""

        async def other() -> bool:
            there = self.stored(workflow)
            return there is not None and there.progress.ended_at != before.ended_at

        await eventually_async(other)

    async def answer(self, workflow: str) -> Result:
        """Wait for a workflow's own result, as whoever submitted it does."""

        async def found() -> list[Result]:
            return [one for one in self.told.get(workflow, []) if one.state is not JobState.RUNNING]

        return (await eventually_async(found))[-1]

    async def release(self) -> None:
        """Do the jobs that were held, and hold no more."""
        held, self.held = self.held or [], None
        for delivery in held:
            self._take(delivery)

    async def publish(self, told: Result, of: Job) -> None:
        message, key = result.to_message(told, of)
        await self.hands.publish(message, self.names.results, key, mandatory=False)

    def _take(self, delivery: Delivery) -> None:
        if self.held is not None:
            self.held.append(delivery)
            return
        one = job.from_message(delivery.message, "default", time.time())
        self.ran.append(one)
        state, value = self.work(one)
        for message, exchange, key in self._outcome(one, state, value):
            self.hands.publish(message, exchange, key, mandatory=False)
        self.hands.settle(delivery, Settle.ACK)

    def _outcome(self, one: Job, state: JobState, value: object) -> list[tuple[Message, str, str]]:
        told = Result(one.id, one.task, one.queue, state, 1, time.time(), value=msgspec.Raw(msgspec.json.encode(value)))
        if state is JobState.DEAD:
            told = msgspec.structs.replace(told, error="no", error_type="Oops", reason="failed")
        message, key = result.to_message(told, one)
        published = [(message, self.names.results, key)] * self.copies
        if state is JobState.DEAD:
            evidence = Evidence("failed", Failure("Oops", "no", ""), "w", time.time())
            published.append(
                (dead_letter.bury(job.to_message(one), one.queue, evidence, one), self.names.dead, one.queue)
            )
        return published

    def _hear(self, delivery: Delivery) -> None:
        one = result.from_message(delivery.message)
        assert one is not None
        self.told.setdefault(one.id, []).append(one)


@asynccontextmanager
async def stage(database: Database, work: Work = done, **settings: object) -> AsyncIterator[Stage]:
    """A stage with a conductor that leads."""
    broker = f"conductor-{secrets.token_hex(4)}"
    made = Settings(url=f"memory://{broker}", namespace="ns", name="s", http_port=-1, **settings)  # type: ignore[arg-type]
    scene = Stage(database, made, await memory.connect(made.url), work)
    await scene.open()
    await scene.lead()
    try:
        yield scene
    finally:
        await scene.crash()
        await scene.hands.close()
        memory.reset(broker)
