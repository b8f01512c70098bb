"""Having a workflow and its retries run to the end, and holding each end against the reference."""

import asyncio
import random
from typing import Protocol

from tests.conductor.comparing import fate_of, mismatch
from tests.workflows import Scenario, kept_by_retry

from warren.store.workflows import Stored
from warren.workflow.graph import Definition
from warren.workflow.machine import Progress
from warren.workflow.messages import Cancel, Request, Retry
from warren.workflow.states import WorkflowState


class Scene(Protocol):
    """Where workflows run."""

    async def submit(self, definition: Definition) -> None: ...
    async def say(self, request: Request, times: int = 1) -> None: ...
    async def ended(self, workflow: str) -> Stored: ...
    async def changed(self, workflow: str, before: Progress) -> None: ...


async def play(on: Scene, plan: Scenario, rng: random.Random, seconds: float) -> None:
    """Run one workflow, with a cancel now and then within so many seconds; every request is said twice."""
    workflow, kept = plan.definition.id, frozenset[str]()
    await on.submit(plan.definition)
    for round_ in range(plan.rounds):
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * seconds)
            await on.say(Cancel(workflow, 0.0, "enough"), times=2)
        progress = (await on.ended(workflow)).progress
        assert mismatch(plan.definition, progress, kept) == ""
        if progress.state is WorkflowState.DONE or round_ + 1 == plan.rounds:
            return
        kept = kept_by_retry(plan.definition, fate_of(progress))
        await on.say(Retry(workflow, 0.0), times=2)
        await on.changed(workflow, progress)
