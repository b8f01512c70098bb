"""Workflows moved on a broker: what is written down first, what is done again, what is told."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest
from tests.conductor.playing import play
from tests.conductor.stage import Stage, stage
from tests.workflows import scenario

from warren.events_workflows import NodeEnded
from warren.job import Job
from warren.states import JobState
from warren.store.database import Database
from warren.workflow.graph import Definition, Input, Node, job_id
from warren.workflow.messages import Submit
from warren.workflow.states import OnFailure, WorkflowState

F = OnFailure.FAIL


def run_of(one: Job) -> int:
    return next(run for run in range(1, 50) if job_id(one.workflow, one.node, run) == one.id)


def chain(task: str = "t:add", **second: object) -> Definition:
    """`a` returns a number, which `b` takes."""
    b = Node(task, args=(msgspec.Raw(b"null"),), after={"a": F}, inputs=(Input("a", (0,)),), **second)  # type: ignore[arg-type]
    return Definition("w1", "chain", {"a": Node(task, args=(msgspec.Raw(b"1"),)), "b": b}, created_at=1.0)


def add(one: Job) -> tuple[JobState, object]:
    return JobState.DONE, msgspec.json.decode(one.body.args[0]) + 1


def test_a_node_gets_what_the_one_before_returned_and_the_caller_the_last(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, add) as on:
            await on.submit(chain())
            found = await on.ended("w1")
            assert [(one.node, one.workflow, run_of(one)) for one in on.ran] == [("a", "w1", 1), ("b", "w1", 1)]
            assert found.progress.state is WorkflowState.DONE
            assert msgspec.json.decode((await on.answer("w1")).value) == 3

    asyncio.run(scene())


def test_what_is_submitted_twice_is_begun_once(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, add) as on:
            await on.submit(chain())
            await on.submit(chain())
            await on.ended("w1")
            await on.say(Submit(chain()))
            await on.submit(Definition("w2", "later", {"a": Node("t:add", args=(msgspec.Raw(b"1"),))}))
            await on.ended("w2")
            assert Counter(one.workflow for one in on.ran) == {"w1": 2, "w2": 1}

    asyncio.run(scene())


# --- against the reference, with crashes -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_with_crashes_anywhere_and_every_result_twice_workflows_end_as_the_reference_says(
    database: Database, seed: int
) -> None:
    rng = random.Random(seed)
    plans = {f"w{number}": scenario(seed * 100 + number, rng.randint(1, 40)) for number in range(8)}
    plans = {plan.definition.id: plan for plan in plans.values()}

    async def crashing(on: Stage) -> None:
        while True:
            await asyncio.sleep(rng.random() * 0.15)
            await on.crash()
            await on.lead()

    async def scene() -> None:
        async with stage(database, lambda one: (plans[one.workflow].outcome(one.node, run_of(one)), 1)) as on:
            on.copies = 2
            crashes = asyncio.create_task(crashing(on))
            await asyncio.gather(*(play(on, plan, rng, 0.05) for plan in plans.values()))
            crashes.cancel()
            await asyncio.gather(crashes, return_exceptions=True)
            # A crash after publishing and before that was noted has a job published again; it is the same job.
            assert {run_of(one) for one in on.ran} <= {1, 2, 3}
            taken = Counter(
                (event.workflow_id, event.job_id) for event in on.events if isinstance(event, NodeEnded) and event.taken
            )
            # One that crashes after it has written something down has not told it.
            assert set(taken.values()) <= {1}

    asyncio.run(scene())
