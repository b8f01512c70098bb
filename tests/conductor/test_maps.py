"""A map and its reduce: chunks in any order, in pieces, twice and over crashes give the ordered result once."""

import asyncio
import random

import msgspec
import pytest
from sqlalchemy import func, select
from tests.conductor.stage import Stage, stage
from tests.support import eventually_async

from warren.control import CancelJobs, command_of
from warren.job import Body, Job
from warren.result import ItemFailure, Result
from warren.states import JobState
from warren.store.database import Database
from warren.store.tables_workflows import outputs
from warren.topology import WORKFLOW_JOB, Binding, Queue
from warren.workflow.folding import Folding
from warren.workflow.graph import Definition, Input, MapSpec, Node, part_name
from warren.workflow.mapping import part_id
from warren.workflow.messages import Cancel, MapEnd
from warren.workflow.states import NodeState, OnFailure, WorkflowState

CHUNK = 3


def mapped(fan_in: int = 10_000) -> Definition:
    nodes = {
        "map": Node("t:text", map=MapSpec("reduce", CHUNK, fan_in)),
        "reduce": Node(
            "t:join", args=(msgspec.Raw(b"null"),), after={"map": OnFailure.FAIL}, inputs=(Input("map", (0,)),)
        ),
    }
    return Definition("w", "texts", nodes, "reduce", 1.0)


def join(one: Job) -> tuple[JobState, object]:
    return JobState.DONE, "".join(msgspec.json.decode(one.body.args[0]))


def chunk_of(place: int, count: int) -> Job:
    own, name = part_id(mapped(), "map", 0, place), part_name("map", 0, place, count)
    return Job(own, Body("t:text"), "default", reply_to=WORKFLOW_JOB, workflow="w", node=name)


async def told(on: Stage, place: int, items: dict[int, str], *, count: int | None = None, **more: object) -> None:
    """Publish what a worker tells of a chunk."""
    count = len(items) if count is None else count
    state = JobState.DONE if len(items) == count else JobState.RUNNING
    raws = {index: msgspec.Raw(msgspec.json.encode(text)) for index, text in items.items()}
    of = chunk_of(place, count)
    await on.publish(Result(of.id, of.task, of.queue, state, 1, 2.0, items=raws or None, **more), of)  # type: ignore[arg-type]


def kept(on: Stage) -> set[str]:
    with on.database.read() as connection:
        return set(connection.scalars(select(outputs.c.node).group_by(outputs.c.node).having(func.count() > 0)))


@pytest.mark.parametrize("fan_in", [3, 7, 10_000])
def test_chunks_in_any_order_and_twice_over_crashes_give_the_ordered_result(database: Database, fan_in: int) -> None:
    texts = [f"<{number}>" for number in range(50)]
    rng = random.Random(fan_in)
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]

    async def scene() -> None:
        async with stage(database, join) as on:
            on.copies = 2
            await on.submit(mapped(fan_in=fan_in))
            for turn, place in enumerate(rng.sample(range(len(chunks)), len(chunks)) * 2):
                await told(on, place, dict(enumerate(chunks[place])))
                if turn == len(chunks) // 2:
                    await on.say(MapEnd("w", "map", len(chunks), len(texts), 2.0), times=2)
                if rng.random() < 0.2:
                    await on.crash()
                    await on.lead()
            found = await on.ended("w")
            assert found.progress.state is WorkflowState.DONE
            assert msgspec.json.decode((await on.answer("w")).value) == "".join(texts)
            assert kept(on) == {"reduce"}

    asyncio.run(scene())


def test_a_chunk_may_come_in_pieces(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            await on.submit(mapped())
            await on.say(MapEnd("w", "map", 1, 3, 2.0))
            for piece in ({2: "c"}, {2: "c"}, {0: "a"}, {1: "b"}):
                await told(on, 0, piece, count=3)
            await on.ended("w")
            assert msgspec.json.decode((await on.answer("w")).value) == "abc"

    asyncio.run(scene())


def test_a_map_of_nothing_is_reduced_from_nothing(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            await on.submit(mapped())
            await on.say(MapEnd("w", "map", 0, 0, 2.0))
            await on.ended("w")
            assert msgspec.json.decode((await on.answer("w")).value) == ""
            assert [msgspec.json.decode(one.body.args[0]) for one in on.ran] == [[]]

    asyncio.run(scene())


def test_an_item_that_fails_fails_the_workflow_and_says_which(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            await on.submit(mapped())
            await on.say(MapEnd("w", "map", 3, 9, 2.0))
            await told(on, 1, {0: "a"}, count=3, failed={1: ItemFailure("no such file", "OSError")})
            found = await on.ended("w")
            assert found.progress.state is WorkflowState.FAILED
            assert found.progress.why == "node 'map' failed: OSError: item 1 of chunk 1: no such file"
            assert found.progress.nodes["reduce"].state is NodeState.CANCELLED

    asyncio.run(scene())


def test_a_call_of_the_reduce_that_fails_fails_the_workflow(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, lambda _: (JobState.DEAD, None)) as on:
            await on.submit(mapped())
            await told(on, 0, {0: "a"})
            await on.say(MapEnd("w", "map", 1, 1, 2.0))
            found = await on.ended("w")
            assert found.progress.why == "node 'reduce' failed: Oops: no"

    asyncio.run(scene())


def test_values_that_fit_into_no_job_are_said(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join, payload_limit=2000) as on:
            await on.submit(mapped())
            await told(on, 0, {0: "x" * 3000})
            await on.say(MapEnd("w", "map", 1, 1, 2.0))
            found = await on.ended("w")
            assert "with its inputs node 'reduce' is 3,0" in found.progress.why

    asyncio.run(scene())


def test_a_map_that_is_cancelled_ends_at_once_and_what_comes_later_is_nothing(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            await on.submit(mapped())
            await told(on, 0, {0: "a"})
            await on.say(Cancel("w", 2.0, "enough"))
            found = await on.ended("w")
            assert found.progress.state is WorkflowState.CANCELLED
            await on.say(MapEnd("w", "map", 1, 1, 2.0))
            await on.submit(
                msgspec.structs.replace(
                    mapped(), id="other", nodes={"a": Node("t:a", args=(msgspec.Raw(b"[]"),))}, result=None
                )
            )
            await on.ended("other")
            assert found.progress.nodes == (await on.ended("w")).progress.nodes

    asyncio.run(scene())


def test_chunks_that_a_producer_enqueued_of_a_cancelled_map_are_cancelled_too(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            said: list[object] = []
            keep = Queue("commands", exclusive=True)
            await on.hands.declare(keep, Binding(on.names.control, keep.name, "#"))
            await on.hands.consume(keep.name, lambda one: said.append(command_of(one.message)), no_ack=True)
            await on.submit(mapped())
            await on.say(Cancel("w", 2.0, "enough"))
            await on.ended("w")
            await on.say(MapEnd("w", "map", 2, 4, 3.0))

            async def commanded() -> bool:
                return any(isinstance(each, CancelJobs) for each in said)

            await eventually_async(commanded)
            ids = {job for each in said if isinstance(each, CancelJobs) for job in each.ids}
            assert ids == {part_id(mapped(), "map", 0, place) for place in range(2)}

    asyncio.run(scene())


def test_the_lost_result_of_a_chunk_is_found_in_the_stream(database: Database) -> None:
    async def scene() -> None:
        async with stage(database, join) as on:
            await on.submit(mapped())
            # By another key it goes into the stream alone, as if the workflows' queue had been purged.
            lost = Result(
                "", "t:text", "default", JobState.DONE, 1, 2.0, items=dict.fromkeys(range(3), msgspec.Raw(b'"a"'))
            )
            of = msgspec.structs.replace(chunk_of(0, 3), reply_to=None)
            await on.publish(msgspec.structs.replace(lost, id=of.id), of)
            await told(on, 1, {0: "b"})
            await on.say(MapEnd("w", "map", 2, 4, 2.0))

            async def counted() -> bool:
                found = on.stored("w")
                return found is not None and found.progress.maps.get("map", Folding()).chunks == 2

            await eventually_async(counted)
            await on.crash()
            await on.lead(overdue_seconds=-1.0)
            await on.ended("w")
            assert msgspec.json.decode((await on.answer("w")).value) == "aaab"

    asyncio.run(scene())
