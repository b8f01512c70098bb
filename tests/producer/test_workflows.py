"""Starting workflows: what is sent, what is waited for, and what is refused before anything is sent."""

import asyncio
from collections.abc import Iterator
from typing import cast

import msgspec
import pytest
from tests.producer.batons import Baton, Requested
from tests.producer.hands import NAMES, Hands, double, doubled, ended, nothing, settings
from tests.support import eventually

from warren.amqp import memory
from warren.errors import (
    BrokerBlocked,
    InvalidArguments,
    InvalidWorkflow,
    JobCancelled,
    PayloadTooLarge,
    PublishRefused,
    ResultTimeout,
    UsageError,
    WorkflowFailed,
)
from warren.job import Job
from warren.producer import AsyncProducer, Producer
from warren.producer.starting import Starter
from warren.result import Result
from warren.states import JobState
from warren.task import task
from warren.workflow import Workflow, chain, chord, group
from warren.workflow.mapping import part_id
from warren.workflow.messages import Cancel, MapEnd, Submit


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def calculated(job: Job) -> Result:
    """Do what `double` and `total` do."""
    if job.task != total.name:
        return doubled(job)
    value = sum(msgspec.json.decode(job.body.args[0]))
    return ended(job, JobState.DONE, value=msgspec.Raw(msgspec.json.encode(value)))


def test_a_chain_gives_what_its_last_task_returns(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker), Baton(memory_broker):
        handle = producer.start(chain(double.call(1), double, double))
        assert handle.result(timeout=60) == 8
        assert handle.progress == (3, 3)


def test_a_group_gives_a_list_and_a_chord_what_is_made_of_it(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker, calculated), Baton(memory_broker):
        assert producer.start(group([double.call(3), double.call(1)])).result(timeout=60) == [6, 2]
        assert producer.start(chord([double.call(3), double.call(1)], total)).result(timeout=60) == 8


def test_a_workflow_with_several_ends_gives_them_by_name(memory_broker: str, producer: Producer) -> None:
    flow = Workflow("diamond")
    first = flow.add(double, 1)
    flow.step("left").add(double, first.out)
    flow.step("right").add(double, first.out, by=10)
    with Hands(memory_broker), Baton(memory_broker):
        assert producer.start(flow).result(timeout=60) == {"left": 4, "right": 20}


def test_a_workflow_in_a_workflow_is_one_node_to_what_comes_after_it(memory_broker: str, producer: Producer) -> None:
    flow = Workflow("outer")
    numbers = flow.add(group([double.call(1), double.call(2)], name="numbers"))
    both = flow.returns(flow.add(total, numbers.out))
    assert list(flow.nodes) == ["numbers/double", "numbers/double-2", "total"]
    with Hands(memory_broker, calculated), Baton(memory_broker):
        assert producer.start(both).result(timeout=60) == 6


def test_progress_is_told_while_it_runs(memory_broker: str, producer: Producer) -> None:
    told: list[tuple[int, int]] = []
    with Hands(memory_broker), Baton(memory_broker):
        handle = producer.start(chain(double.call(1), double))
        handle.result(timeout=60, on_progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (2, 2)


def test_a_workflow_that_fails_says_which_nodes_did_and_why(memory_broker: str, producer: Producer) -> None:
    def fail(job: Job) -> Result:
        return ended(job, JobState.DEAD, reason="failed", error="no such file", error_type="OSError")

    with Hands(memory_broker, fail), Baton(memory_broker):
        with pytest.raises(WorkflowFailed, match=r"node 'double' failed: OSError: no such file") as raised:
            producer.start(chain(double.call(1), double)).result(timeout=60)
        assert raised.value.failed == {"double": "OSError: no such file"}


def test_a_cancel_is_a_message_and_whoever_waits_is_told_at_the_end(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker, nothing) as hands, Baton(memory_broker) as baton:
        handle = producer.start(chain(double.call(1), double))
        (job,) = hands.took(1)
        handle.cancel(reason="enough")
        eventually(lambda: baton.cancelled == [job.id])
        with pytest.raises(ResultTimeout):
            handle.result(timeout=0)
        hands.publish(ended(job, JobState.CANCELLED, reason="enough"), job)
        with pytest.raises(JobCancelled, match="enough"):
            handle.result(timeout=60)
    assert isinstance(baton.requests[-1], Cancel)


def test_a_workflow_is_found_by_its_id_as_a_job_is(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker), Baton(memory_broker):
        started = producer.start(chain(double.call(1), double))
        started.result(timeout=60)
        assert producer.handle(started.id).result(timeout=60) == 4
        found = producer.find(started.id)
    assert found is not None
    assert found.task == "workflow:chain"


def test_without_a_scheduler_the_broker_keeps_it(memory_broker: str, producer: Producer) -> None:
    handle = producer.start(chain(double.call(1), double))
    assert handle.progress == (0, 2)
    with Hands(memory_broker), Baton(memory_broker) as baton:
        assert handle.result(timeout=60) == 4
    assert isinstance(baton.requests[0], Submit)


def test_a_queue_that_was_deleted_is_made_again(memory_broker: str, producer: Producer) -> None:
    producer.start(chain(double.call(1), double))
    memory.delete_queue(memory_broker, NAMES.workflows)
    with Hands(memory_broker), Baton(memory_broker):
        assert producer.start(chain(double.call(1), double)).result(timeout=60) == 4


def test_a_producer_that_may_not_declare_says_that_nobody_takes_workflows(memory_broker: str) -> None:
    with (
        Producer(settings(memory_broker, declare=False)) as producer,
        pytest.raises(PublishRefused, match="does not take workflows"),
    ):
        producer.cancel_workflow("w")


def test_a_broker_that_takes_nothing_is_told_within_the_deadline(memory_broker: str) -> None:
    with Producer(settings(memory_broker, publish_timeout=0.1)) as producer:
        producer.start(chain(double.call(1), double))
        memory.block(memory_broker, on=True)
        with pytest.raises(BrokerBlocked):
            producer.start(chain(double.call(1), double))


def test_what_is_too_large_is_refused_and_nothing_is_sent(memory_broker: str) -> None:
    flow = Workflow("large")
    flow.add("m:f", "x" * 100)
    with Baton(memory_broker) as baton, Producer(settings(memory_broker, payload_limit=100)) as producer:
        with pytest.raises(PayloadTooLarge):
            producer.start(flow)
        with pytest.raises(InvalidWorkflow, match="no nodes"):
            producer.start(Workflow("empty"))
        assert not baton.requests


def test_a_definition_over_the_bound_is_refused(memory_broker: str, producer: Producer) -> None:
    flow = Workflow("large")
    for _ in range(50):
        flow.add("m:f", "x" * 100_000)
    with Baton(memory_broker) as baton:
        with pytest.raises(InvalidWorkflow, match="the limit is 4,194,304"):
            producer.start(flow)
        assert not baton.requests


def test_the_producer_for_asyncio_has_the_same_verbs(memory_broker: str) -> None:
    async def run() -> None:
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.start(chain(double.call(1), double))
            assert await handle.result(timeout=60) == 4
            assert handle.progress == (2, 2)
            await handle.cancel()
            await producer.cancel_workflow(handle.id, reason="again")

    with Hands(memory_broker), Baton(memory_broker):
        asyncio.run(run())


# --- maps ------------------------------------------------------------------------------------------------------------


def test_the_chunks_of_a_map_are_enqueued_as_the_items_come_and_the_end_is_said_last(
    memory_broker: str, producer: Producer
) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(7):
            read.append(number)
            yield number

    with Hands(memory_broker, nothing) as hands, Requested(memory_broker) as requested:
        handle = producer.map_reduce(double, numbers(), reduce=total, chunk=3, kwargs={"by": 5})
        jobs = hands.took(3)
        submit, end = requested.took(2)
    assert isinstance(submit, Submit)
    assert isinstance(end, MapEnd)
    assert (end.id, end.chunks, end.items) == (handle.id, 3, 7)
    assert [(job.id, job.node, job.workflow, job.reply_to) for job in jobs] == [
        (part_id(submit.workflow, "map", 0, place), f"map@0.{place}.{count}", handle.id, "workflow")
        for place, count in enumerate((3, 3, 1))
    ]
    assert msgspec.json.decode(jobs[0].body.kwargs["by"]) == 5


def test_a_map_that_cannot_be_enqueued_is_cancelled(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker, nothing), Requested(memory_broker) as requested:
        with pytest.raises(InvalidArguments):
            producer.map_reduce(double, cast("list[int]", [1, "two"]), reduce=total, chunk=1)
        submit, cancel = requested.took(2)
    assert isinstance(submit, Submit)
    assert isinstance(cancel, Cancel)
    assert cancel.reason == "its producer could not enqueue all of its items"


def test_a_map_whose_end_cannot_be_said_is_cancelled(
    memory_broker: str, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise PublishRefused("no")

    monkeypatch.setattr(Starter, "end_map", refused)

    async def awaited() -> None:
        async with AsyncProducer(settings(memory_broker)) as other:
            await other.map_reduce(double, [1], reduce=total)

    with Hands(memory_broker, nothing), Requested(memory_broker) as requested:
        with pytest.raises(PublishRefused):
            producer.map_reduce(double, [1], reduce=total)
        with pytest.raises(PublishRefused):
            asyncio.run(awaited())
        assert [type(one) for one in requested.took(4)] == [Submit, Cancel] * 2


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"fan_in": 1}])
def test_a_map_of_impossible_bounds_is_refused(producer: Producer, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        producer.map_reduce(double, [1], reduce=total, **wrong)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="result=False"):
        producer.map_reduce(double.options(result=False), [1], reduce=total)
