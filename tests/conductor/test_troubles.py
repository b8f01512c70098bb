"""What may go wrong around workflows: each ends, and says why."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from tests.conductor.stage import Stage, stage
from tests.support import eventually_async

from warren import job, result
from warren.amqp.engines import connect_any
from warren.amqp.seam import ChannelRefused, Delivery, Message
from warren.conductor import doing
from warren.conductor.doing import Doer
from warren.conductor.ledger import UNFIT, Announce, Ledger
from warren.conductor.reading import INVALID, Refused, Submitted, read
from warren.errors import StoreUnavailable
from warren.events_schedules import StoreAway
from warren.events_workflows import WorkflowMessageIgnored, WorkflowsSwept
from warren.job import Job
from warren.result import Result
from warren.service import service
from warren.service.leadership import HEARTBEAT_SECONDS
from warren.states import JobState
from warren.store import workflows as store
from warren.store.database import Database
from warren.topology import WORKFLOWS, Names
from warren.workflow.graph import Definition, Graph, Input, Node, job_id
from warren.workflow.machine import NodeProgress, Progress
from warren.workflow.messages import Cancel, Submit
from warren.workflow.states import NodeState, OnFailure, WorkflowState

NULL, F = (msgspec.Raw(b"null"),), OnFailure.FAIL
CHAIN = Definition(
    "w1",
    "chain",
    {"a": Node("t:a"), "b": Node("t:b", args=NULL, after={"a": F}, inputs=(Input("a", (0,)),))},
)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """On one kind of database: none of this is about the differences, and what is, is in `tests/store`."""
    opened = Database(sqlite_url)
    opened.migrate()
    yield opened
    opened.close()


def act(database: Database, scene: Callable[[Stage], Awaitable[None]], **settings: Any) -> None:
    """Play a scene on a stage."""

    async def playing() -> None:
        async with asyncio.timeout(120), stage(database, **settings) as on:
            await scene(on)

    asyncio.run(playing())


async def nodes_of(on: Stage, workflow: str = "w1") -> dict[str, NodeProgress]:
    return dict((await on.ended(workflow)).progress.nodes)


async def held(on: Stage) -> Job:
    """Wait until a job has come that is not done yet, and return it."""

    async def come() -> bool:
        return bool(on.held)

    await eventually_async(come)
    assert on.held
    return job.from_message(on.held[0].message, "default", time.time())


async def heard(on: Stage, kind: type) -> Any:
    """Wait for an event."""

    async def said() -> list[object]:
        return [event for event in on.events if isinstance(event, kind)]

    return (await eventually_async(said))[0]


def test_a_dead_letter_that_the_broker_wrote_itself_ends_its_node(database: Database) -> None:
    async def scene(on: Stage) -> None:
        on.held = []
        await on.submit(CHAIN)
        letter = job.to_message(await held(on))
        headers = {**letter.headers, "x-death": [{"queue": "ns.queue.default", "reason": "delivery_limit"}]}
        await on.hands.publish(msgspec.structs.replace(letter, headers=headers), on.names.dead, "default")
        node = (await nodes_of(on))["a"]
        assert (node.state, node.why) == (NodeState.FAILED, "delivery_limit")
        assert "handed out too often" in (await on.answer("w1")).error

    act(database, scene)


def test_a_dead_letter_of_no_workflow_moves_none(database: Database) -> None:
    async def scene(on: Stage) -> None:
        stray = Message(b"{}", message_id="x", headers={"x-death": [], "warren-workflow": "w7"})
        await on.hands.publish(stray, on.names.dead, "default")
        await on.submit(CHAIN)
        assert (await on.answer("w1")).state is JobState.DONE

    act(database, scene)


def test_a_dead_letter_that_is_replayed_and_done_takes_the_failure_back(database: Database) -> None:
    async def scene(on: Stage) -> None:
        on.work = lambda _: (JobState.DEAD, None)
        await on.submit(CHAIN)
        assert (await on.answer("w1")).state is JobState.DEAD
        on.work = lambda _: (JobState.DONE, 7)
        again = on.ran[0]
        told = Result(again.id, again.task, again.queue, JobState.DONE, 1, time.time(), value=msgspec.Raw(b"5"))
        await on.publish(told, again)
        await eventually_async(lambda: asyncio.sleep(0, len(on.ran) == 2))
        assert bytes(on.ran[1].body.args[0]) == b"5"
        await eventually_async(lambda: asyncio.sleep(0, on.told["w1"][-1].state is JobState.DONE))

    act(database, scene)


def test_inputs_that_do_not_fit_fail_their_node_and_say_by_how_much(database: Database) -> None:
    async def scene(on: Stage) -> None:
        on.work = lambda _: (JobState.DONE, "x" * 900)
        await on.submit(CHAIN)
        node = (await nodes_of(on))["b"]
        assert (node.state, node.why, len(on.ran)) == (NodeState.FAILED, UNFIT, 1)
        assert "the limit is 800" in node.error

    act(database, scene, payload_limit=800)


def test_a_queue_that_is_not_there_fails_the_node(database: Database) -> None:
    async def scene(on: Stage) -> None:
        await on.submit(Definition("w1", "nowhere", {"a": Node("t:a", queue="nowhere")}))
        node = (await nodes_of(on))["a"]
        assert node.state is NodeState.FAILED
        assert "no queue 'nowhere'" in node.error

    act(database, scene, declare=False)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({}, "it has no nodes"),
        ({"a": Node("t:a", after={"b": F}), "b": Node("t:b", after={"a": F})}, "wait for each other"),
    ],
)
def test_what_is_no_workflow_is_told_to_who_submitted_it_and_not_kept(
    database: Database, nodes: dict[str, Node], said: str
) -> None:
    async def scene(on: Stage) -> None:
        await on.submit(Definition("w1", "odd", nodes))
        told = await on.answer("w1")
        assert (told.state, told.reason) == (JobState.DEAD, INVALID)
        assert said in told.error
        assert on.stored("w1") is None

    act(database, scene)


@pytest.mark.parametrize("more", [{"id": "é" * 200}, {"reply_to": "é" * 200}, {"id": ""}], ids=["id", "key", "empty"])
def test_a_workflow_whose_answer_could_not_be_sent_is_refused_aloud_only(more: dict[str, str]) -> None:
    body = msgspec.json.encode(Submit(msgspec.structs.replace(CHAIN, **more)))
    names = Names("ns")
    delivery = Delivery(
        Message(body), names.workflows, names.workflows, WORKFLOWS, redelivered=False, tag=1, channel=None
    )
    heard = read(delivery, names, 1.0)
    assert isinstance(heard, Refused)
    assert (heard.answer.reason, heard.reply_to) == (INVALID, None)


def test_what_became_of_a_workflow_that_no_broker_announces_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce, wrong = Doer.announce, {"w1": ChannelRefused(406, "no"), "w2": OverflowError("too large")}

    async def refusing(doer: Doer, announced: Announce) -> None:
        if error := wrong.get(announced.result.id):
            raise error
        await announce(doer, announced)

    monkeypatch.setattr(Doer, "announce", refusing)

    async def scene(on: Stage) -> None:
        await on.submit(Definition("w1", "odd", {}))
        await on.submit(msgspec.structs.replace(CHAIN, id="w2"))
        await on.submit(msgspec.structs.replace(CHAIN, id="w3"))
        assert (await on.answer("w3")).state is JobState.DONE
        await eventually_async(lambda: asyncio.sleep(0, on.undone() == []))
        said = {event.reason for event in on.events if isinstance(event, WorkflowMessageIgnored)}
        assert said >= {
            "what became of workflow 'w1' cannot be announced: 406 no",
            "what became of workflow 'w2' cannot be announced: OverflowError: too large",
        }

    act(database, scene)


def test_a_job_that_we_fail_to_publish_ends_its_node(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(job: Job) -> Message:
        raise OverflowError(f"node {job.node} is too far away")

    monkeypatch.setattr(doing, "to_message", failing)

    async def scene(on: Stage) -> None:
        await on.submit(CHAIN)
        assert "OverflowError: node a is too far away" in (await on.answer("w1")).error

    act(database, scene)


@pytest.mark.parametrize(
    "body", [b"\xff", b"{}", b'{"type": "dance"}', msgspec.json.encode(Cancel("unknown", 0.0))], ids=repr
)
def test_what_is_not_understood_is_ignored_aloud_and_holds_up_nothing(database: Database, body: bytes) -> None:
    async def scene(on: Stage) -> None:
        await on.hands.publish(Message(body), on.names.workflows, WORKFLOWS)
        await on.submit(CHAIN)
        assert (await on.answer("w1")).state is JobState.DONE
        assert (await heard(on, WorkflowMessageIgnored)).reason

    act(database, scene)


def test_what_we_fail_over_ourselves_is_a_dead_letter_and_the_others_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Ledger.hear

    def failing(ledger: Ledger, heard: Any, now: float) -> Any:
        if any(one.workflow == "w2" for one in heard):
            raise ValueError("a mistake of ours")
        return hear(ledger, heard, now)

    monkeypatch.setattr(Ledger, "hear", failing)

    async def scene(on: Stage) -> None:
        await on.submit(msgspec.structs.replace(CHAIN, id="w2"))
        await on.submit(CHAIN)
        assert (await on.answer("w1")).state is JobState.DONE
        depth = await on.hands.depth(on.names.dead)
        assert depth is not None
        assert depth.ready == 1

    act(database, scene)


def test_while_the_store_is_away_messages_wait(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    hear, away = Ledger.hear, [True]

    def failing(ledger: Ledger, heard: Any, now: float) -> Any:
        if away.pop():
            away.append(False)
            raise StoreUnavailable("sqlite://", "gone")
        away.append(False)
        return hear(ledger, heard, now)

    monkeypatch.setattr(Ledger, "hear", failing)

    async def scene(on: Stage) -> None:
        await on.submit(CHAIN)
        assert (await on.answer("w1")).state is JobState.DONE
        assert (await heard(on, StoreAway)).error

    act(database, scene)


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_a_cancelled_workflow_ends_though_its_jobs_only_wait_and_those_are_told_as_cancelled(
    database: Database,
) -> None:
    async def scene(on: Stage) -> None:
        on.held = []
        await on.submit(CHAIN)
        waiting = await held(on)
        await on.say(Cancel("w1", time.time(), "enough"), times=2)
        nodes = await nodes_of(on)
        assert {name: (node.state, node.why) for name, node in nodes.items()} == {
            "a": (NodeState.CANCELLED, "enough"),
            "b": (NodeState.CANCELLED, "the workflow is cancelled"),
        }
        told = await on.answer("w1")
        assert (told.state, told.reason) == (JobState.CANCELLED, "enough")
        # A worker that did not hear of it may still do the job: too late, and nothing follows.
        on.work = lambda _: (JobState.DONE, 1)
        await on.release()
        await on.submit(msgspec.structs.replace(CHAIN, id="w2"))
        assert (await on.answer("w2")).state is JobState.DONE
        found = on.stored("w1")
        assert found is not None
        assert found.progress.state is WorkflowState.CANCELLED
        assert [one.id for one in on.ran if one.workflow == "w1"] == [waiting.id]

    act(database, scene)


def test_a_cancel_that_a_dead_leader_had_not_finished_is_finished_by_the_next(database: Database) -> None:
    async def scene(on: Stage) -> None:
        on.held = []
        await on.submit(CHAIN)
        await held(on)
        await on.say(Cancel("w1", time.time(), "enough"))

        async def decided() -> bool:
            found = on.stored("w1")
            return found is not None and found.progress.verdict is WorkflowState.CANCELLED

        await eventually_async(decided)
        await on.crash()
        await on.lead()
        assert (await on.ended("w1")).progress.state is WorkflowState.CANCELLED

    act(database, scene)


# --- the sweeper -----------------------------------------------------------------------------------------------------


def test_a_result_that_never_came_is_found_in_the_stream(database: Database) -> None:
    async def scene(on: Stage) -> None:
        on.held = []
        await on.submit(CHAIN)
        one = await held(on)
        # By another key it goes into the stream alone, as if the workflows' queue had been purged.
        told = Result(one.id, one.task, one.queue, JobState.DONE, 1, time.time(), value=msgspec.Raw(b"4"))
        message, _ = result.to_message(told, one)
        await on.hands.publish(message, on.names.results, result.NOBODY, mandatory=False)
        await eventually_async(lambda: asyncio.sleep(0, on.undone() == []))
        on.held = None  # and nobody does the job again
        await on.crash()
        await on.lead(overdue_seconds=-1.0)
        assert (await on.answer("w1")).state is JobState.DONE

        async def swept() -> bool:
            return any(event.found == 1 for event in on.events if isinstance(event, WorkflowsSwept))

        await eventually_async(swept)
        assert bytes(next(one for one in on.ran if one.node == "b").body.args[0]) == b"4"

    act(database, scene)


def test_what_a_dead_leader_has_noted_and_not_done_is_done_by_the_next(database: Database) -> None:
    async def scene(on: Stage) -> None:
        await on.crash()
        # As if it had died after the commit and before the first publish.
        ledger = Ledger(database, 10_000)
        definition = msgspec.structs.replace(CHAIN, reply_to="caller")
        ledger.hear([Submitted(Graph.of(definition))], time.time())
        await on.lead()
        assert (await on.answer("w1")).state is JobState.DONE
        assert [one.id for one in on.ran] == [job_id("w1", "a", 1), job_id("w1", "b", 1)]

    act(database, scene)


def test_a_request_without_an_id_counts_once_however_often_it_comes(database: Database) -> None:
    async def scene(on: Stage) -> None:
        body = msgspec.json.encode(Submit(msgspec.structs.replace(CHAIN, reply_to="caller")))
        for _ in range(2):
            await on.hands.publish(Message(body), on.names.workflows, WORKFLOWS)
        assert (await on.answer("w1")).state is JobState.DONE
        assert len(on.ran) == 2

    act(database, scene)


# --- the duty --------------------------------------------------------------------------------------------------------


def test_more_than_one_transaction_removes_is_removed_at_once(database: Database) -> None:
    async def scene(on: Stage) -> None:
        await on.crash()
        with database.write() as connection:
            for number in range(2 * store.FORGOTTEN + 1):
                one = msgspec.structs.replace(CHAIN, id=f"old{number}", created_at=float(number + 1))
                ended = Progress({"a": NodeProgress(NodeState.DONE)}, WorkflowState.DONE, ended_at=time.time())
                assert store.add(connection, one, ended, 2.0)
        await on.lead()

        async def left() -> bool:
            with database.read() as connection:
                return store.counts(connection)[WorkflowState.DONE] == 3

        await eventually_async(left)

    act(database, scene, history_jobs=3)


def test_what_a_leader_that_hangs_has_taken_comes_back_as_fast_as_the_lead_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats = {}

    async def connecting(urls: Any, engine: str, *, name: str, heartbeat: int, timeout: float) -> Any:
        heartbeats[name.rsplit(maxsplit=1)[-1]] = heartbeat
        return await connect_any(urls, engine, name=name, heartbeat=heartbeat, timeout=timeout)

    monkeypatch.setattr(service, "connect_any", connecting)

    async def scene(on: Stage) -> None:
        assert on.leading is not None

    act(database, scene)
    assert heartbeats["conducting"] == HEARTBEAT_SECONDS
