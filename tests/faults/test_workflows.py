"""Random workflows for real: every result comes twice, the leading scheduler is killed again and again, and each ends as it must."""

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.conductor.playing import play
from tests.console.executable import Warren
from tests.docs.documents import ROOT, table
from tests.faults import workflow_jobs
from tests.faults.schedulers import SchedulerProcess, leader
from tests.faults.workers import running_worker, written
from tests.support import Broker, eventually
from tests.workflows import Scenario, scenario

from warren import topology
from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection, Delivery, Settle
from warren.conductor.conductor import TOGETHER
from warren.errors import JobCancelled
from warren.producer import Producer
from warren.states import JobState
from warren.store import workflows as store
from warren.store.database import Database
from warren.store.workflows import Stored
from warren.topology import WORKFLOW_JOB, WORKFLOWS, Binding, Names, Queue
from warren.workflow import Workflow, messages
from warren.workflow.graph import Definition, Node, job_id
from warren.workflow.machine import Progress
from warren.workflow.messages import Request, Submit
from warren.workflow.states import WorkflowState

WORKFLOWS_RUN = int(os.environ.get("WARREN_TEST_WORKFLOWS", "0"))
"""On each of the two databases; without it a few, on one."""
AT_ONCE = 50
JOBS = "tests.faults.workflow_jobs"
COPY = "copy"
CANCELLING = ROOT / "docs/how-to/cancelling.md"


@dataclass
class Live:
    """A broker, a store, and what is known of the workflows in it."""

    connection: Connection
    names: Names
    database: Database
    states: dict[str, tuple[WorkflowState, float | None]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    copies: int = 0

    async def open(self) -> None:
        await self.connection.declare(*topology.everything(self.names, ("default",)))
        queue = self.names.reply("copies")
        await self.connection.declare(Queue(queue, exclusive=True), Binding(self.names.results, queue, WORKFLOW_JOB))
        await self.connection.consume(queue, self._copy, prefetch=500)

    async def submit(self, definition: Definition) -> None:
        await self.say(Submit(definition), times=2)

    async def say(self, request: Request, times: int = 1) -> None:
        message = messages.to_message(request, time.time())
        for _ in range(times):
            await self.connection.publish(message, self.names.workflows, WORKFLOWS)

    async def ended(self, workflow: str) -> Stored:
        async with self.news:
            await self.news.wait_for(lambda: self.states.get(workflow, (WorkflowState.RUNNING,))[0] != "running")
        found = await asyncio.to_thread(self._find, workflow)
        assert found is not None
        return found

    async def changed(self, workflow: str, before: Progress) -> None:
        async with self.news:
            await self.news.wait_for(lambda: self.states[workflow][1] != before.ended_at)

    async def look(self) -> None:
        """Keep up with the store, for all at once."""
        while True:
            found = await asyncio.to_thread(self._all)
            async with self.news:
                self.states = found
                self.news.notify_all()
            await asyncio.sleep(0.05)

    def _all(self) -> dict[str, tuple[WorkflowState, float | None]]:
        with self.database.read() as connection:
            return {one.id: (one.state, one.ended_at) for one in store.listed(connection, limit=100_000)}

    def _find(self, workflow: str) -> Stored | None:
        with self.database.read() as connection:
            return store.find(connection, workflow)

    def _copy(self, delivery: Delivery) -> None:
        """Have every result come a second time."""
        message = delivery.message
        if COPY not in message.headers:
            self.copies += 1
            again = replace(message, headers={**message.headers, COPY: 1})
            self.connection.publish(again, self.names.results, WORKFLOW_JOB, mandatory=False)
        self.connection.settle(delivery, Settle.ACK)


def live(plan: Scenario, log: Path, rng: random.Random) -> Scenario:
    """A scenario whose jobs are real ones."""

    def node(name: str, one: Node) -> Node:
        outcomes = [str(state) for state in plan.outcomes[name]]
        values = (plan.definition.id, name, outcomes, str(log), rng.random() < 0.1)
        args = tuple(msgspec.Raw(msgspec.json.encode(value)) for value in values)
        return replace(one, task=f"{JOBS}:work", args=args)

    nodes = {name: node(name, one) for name, one in plan.definition.nodes.items()}
    return Scenario(replace(plan.definition, nodes=nodes), plan.outcomes, plan.rounds, plan.seed)


@dataclass
class Fleet:
    """Two schedulers, of which the leading one is killed again and again."""

    broker: Broker
    namespace: str
    store: str
    folder: Path
    stack: ExitStack
    rng: random.Random
    running: list[SchedulerProcess] = field(default_factory=list)
    killed: int = 0

    def start(self) -> None:
        log = self.folder / f"scheduler-{len(list(self.folder.glob('scheduler-*')))}.log"
        self.running.append(self.stack.enter_context(SchedulerProcess(self.broker, self.namespace, self.store, log)))

    async def kill_leaders(self) -> None:
        while True:
            await asyncio.to_thread(self._kill_leader)

    def _kill_leader(self) -> None:
        """Now and then when it has only just begun; mostly when it has had some time, or on a busy machine none would do anything."""
        found = leader(self.running)
        if self.rng.random() < 0.8:
            eventually(lambda: found.lines("broker connected"), message="the leader has begun")
            time.sleep(self.rng.uniform(0.2, 2.0))
        found.kill()
        self.running.remove(found)
        self.killed += 1
        self.start()


async def _run(broker: Broker, namespace: str, database: Database, plans: Sequence[Scenario], fleet: Fleet) -> int:
    connection = await connect_any((broker.url,), "pika", name="test", heartbeat=60, timeout=30)
    on = Live(connection, Names(namespace), database)
    await on.open()
    room = asyncio.Semaphore(AT_ONCE)

    async def one(plan: Scenario) -> None:
        async with room:
            await play(on, plan, fleet.rng, 1.0)

    beside = [asyncio.create_task(on.look()), asyncio.create_task(fleet.kill_leaders())]
    try:
        await asyncio.gather(*map(one, plans))
    finally:
        for task in beside:
            task.cancel()
        for task in beside:
            with suppress(asyncio.CancelledError):
                await task
        await connection.close()
    return on.copies


@pytest.mark.parametrize("store_url", ["sqlite", "postgresql"] if WORKFLOWS_RUN else ["sqlite"], indirect=True)
@pytest.mark.timeout(3600)
def test_random_workflows_end_as_the_reference_says_with_leaders_killed_and_every_result_twice(
    broker: Broker, namespace: str, database: Database, store_url: str, tmp_path: Path
) -> None:
    rng, log = random.Random(), tmp_path / "log"
    faults = (JobState.DEAD, JobState.CANCELLED)
    plans = [
        live(scenario(seed, rng.randint(1, 40), faults), log, rng)
        for seed in rng.sample(range(2**40), WORKFLOWS_RUN or 10)
    ]
    with (
        ExitStack() as stack,
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=2, log_level="info"),
    ):
        fleet = Fleet(broker, namespace, store_url, tmp_path, stack, rng)
        fleet.start()
        fleet.start()
        copies = asyncio.run(asyncio.wait_for(_run(broker, namespace, database, plans, fleet), 3600))
    _check(database, plans, log, fleet.killed, copies)


def _check(database: Database, plans: Sequence[Scenario], log: Path, killed: int, copies: int) -> None:
    ran = Counter(line["job"] for line in written(log))
    ids = set[str]()
    with database.read() as connection:
        assert store.to_do(connection) == []
        for plan in plans:
            found = store.find(connection, plan.definition.id)
            assert found is not None
            ids |= {
                job_id(plan.definition.id, name, run)
                for name, node in found.progress.nodes.items()
                for run in range(1, node.run + 1)
            }
    assert ran.keys() <= ids, "no node ran that the store does not know of"
    twice = sum(count - 1 for count in ran.values())
    print(
        json.dumps(
            {"workflows": len(plans), "nodes": sum(len(plan.definition.nodes) for plan in plans), "jobs": len(ran)}
            | {"ran twice": twice, "leaders killed": killed, "results copied": copies}
        )
    )
    # A leader that dies after a job was confirmed and before that is noted has it published again, under the same id.
    assert twice <= killed * TOGETHER


# --- cancelling, and retrying what was cancelled --------------------------------------------------------------------


def test_a_cancelled_workflow_ends_as_the_table_says_and_can_be_retried(
    broker: Broker, namespace: str, sqlite_url: str, tmp_path: Path
) -> None:
    logs = {name: tmp_path / name for name in ("done", "running", "queued", "waiting for another")}

    def began(name: str) -> int:
        return len(logs[name].read_text().splitlines()) if logs[name].exists() else 0

    flow = Workflow("cancelled")
    done = flow.step("done").add(workflow_jobs.begin, str(logs["done"]))
    flow.step("running", after=[done]).add(workflow_jobs.linger, str(logs["running"]))
    nobody = workflow_jobs.begin.options(queue="nobody")
    queued = flow.step("queued", after=[done]).add(nobody, str(logs["queued"]))
    flow.step("another", after=[queued]).add(workflow_jobs.begin, str(logs["waiting for another"]))
    warren = Warren(url=broker.url, namespace=namespace, store=sqlite_url)
    with (
        SchedulerProcess(broker, namespace, sqlite_url, tmp_path / "scheduler.log") as scheduler,
        running_worker(broker.url, namespace, tmp_path, JOBS, processes=1) as worker,
        Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer,
    ):
        scheduler.wait_for("ready")
        handle = producer.start(flow)
        eventually(lambda: began("running"), message="the job runs")
        warren.ok("workflows", "cancel", handle.id, "--reason", "enough", "--wait", "60")
        with pytest.raises(JobCancelled, match="enough"):
            handle.result(60)
        nodes = {node["name"]: node["state"] for node in warren.json("workflows", "show", handle.id)["nodes"]}
        nodes["waiting for another"] = nodes.pop("another")
        runs = {name: "once" if began(name) else "never" for name in logs}
        assert [[name, f"`{nodes[name]}`", runs[name]] for name in logs] == table(CANCELLING, "the node is")
        assert "3 nodes to go" in warren.ok("workflows", "retry", handle.id, "--wait", "60")
        eventually(lambda: began("running") == 2, message="it runs again")
        assert (began("done"), began("queued")) == (1, 0)
        worker.kill()
