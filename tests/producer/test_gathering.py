"""Jobs enqueued in one turn of the loop travel together and are told of one by one."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.common.amqp.harness import scenario
from tests.producer.hands import NAMES, NOW, Hands, double, settings

from warren import errors
from warren.amqp import memory
from warren.amqp.seam import ConnectionLost, Late, Nacked, SomeFailed
from warren.producer import AsyncProducer
from warren.producer.core import Composer, Outgoing
from warren.producer.gathering import Gathering
from warren.producer.runs import STEP, together

Run = tuple[str, ...]


class Wire:
    """Takes runs, and confirms them when the test says so."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.fates: list[asyncio.Future[None]] = []
        self.gathering = Gathering(self._start, self._confirmed)

    def _start(self, jobs: Sequence[Outgoing]) -> "asyncio.Future[None]":
        self.runs.append(tuple(job.id for job in jobs))
        self.fates.append(asyncio.get_running_loop().create_future())
        return self.fates[-1]

    async def _confirmed(self, sent: "asyncio.Future[None]") -> None:
        await sent


def outgoing(count: int, queue: str = "default") -> list[Outgoing]:
    composer, task = Composer(NAMES, "me", 1000), double.options(queue=queue)
    return [composer.call(task.call(number), NOW) for number in range(count)]


@scenario
async def test_the_first_of_a_turn_goes_alone() -> None:
    gathering = Wire().gathering
    assert [gathering.goes_alone() for _ in range(3)] == [True, False, False]
    await asyncio.sleep(0)
    assert gathering.goes_alone()


@scenario
async def test_the_others_go_together_when_the_turn_ends() -> None:
    wire, jobs = Wire(), outgoing(4)
    assert wire.gathering.goes_alone()
    answers = [wire.gathering.send(job) for job in jobs]
    assert wire.runs == []
    await asyncio.sleep(0)
    assert wire.runs == [tuple(job.id for job in jobs)]
    wire.fates[0].set_result(None)
    await asyncio.gather(*answers)


@scenario
async def test_many_do_not_wait_for_the_end_of_the_turn_and_each_address_is_a_run() -> None:
    wire, here, there = Wire(), outgoing(STEP + 2), outgoing(1, "other")
    assert wire.gathering.goes_alone()
    for job in here:
        wire.gathering.send(job)
    assert [len(run) for run in wire.runs] == [STEP]
    for job in there:
        wire.gathering.send(job)
    await asyncio.sleep(0)
    assert [len(run) for run in wire.runs] == [STEP, 2, 1]


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (SomeFailed({1: Nacked("full")}), [type(None), Nacked, type(None)]),
        (ConnectionLost("cut"), [ConnectionLost] * 3),
        (Late(), [Late] * 3),
    ],
)
def test_each_is_told_its_own_fate(fate: Exception, expected: list[type]) -> None:
    @scenario
    async def tell() -> None:
        wire = Wire()
        assert wire.gathering.goes_alone()
        answers = [wire.gathering.send(job) for job in outgoing(3)]
        await asyncio.sleep(0)
        wire.fates[0].set_exception(fate)
        assert [type(one) for one in await asyncio.gather(*answers, return_exceptions=True)] == expected

    tell()


@scenario
async def test_one_that_is_cancelled_leaves_the_others_alone() -> None:
    wire = Wire()
    assert wire.gathering.goes_alone()
    cancelled, other = (wire.gathering.send(job) for job in outgoing(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    wire.fates[0].set_result(None)
    await other
    assert cancelled.cancelled()


@scenario
async def test_what_is_given_up_is_cancelled_for_all() -> None:
    wire = Wire()
    assert wire.gathering.goes_alone()
    answers = [wire.gathering.send(job) for job in outgoing(2)]
    await asyncio.sleep(0)
    wire.fates[0].cancel()
    await asyncio.wait(answers)
    assert all(answer.cancelled() for answer in answers)


def test_a_delayed_job_is_a_run_of_its_own() -> None:
    composer = Composer(NAMES, "me", 1000)
    delayed = composer.call(double.options(delay=5).call(1), NOW)
    now = outgoing(3)
    assert [len(run) for run in together([*now[:2], delayed, delayed, now[2]])] == [2, 1, 1, 1]


@scenario
async def test_hundreds_are_enqueued_at_once_and_give_their_results(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker)) as producer:
            handles = await asyncio.gather(*(producer.enqueue(double, number) for number in range(300)))
            assert [await handle.result(10) for handle in handles] == [2 * number for number in range(300)]


@scenario
async def test_of_gathered_jobs_those_without_a_queue_are_told(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker, declare=False)) as producer:
            nowhere = double.options(queue="nowhere")
            sent = [producer.enqueue(nowhere if number % 3 == 0 else double, number) for number in range(30)]
            fates = await asyncio.gather(*sent, return_exceptions=True)
    assert [isinstance(fate, errors.Unroutable) for fate in fates] == [number % 3 == 0 for number in range(30)]


@scenario
async def test_gathered_jobs_are_all_told_of_an_alarm_within_the_deadline(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker, publish_timeout=0.5)) as producer:
            await producer.enqueue(double, 1)
            memory.block(memory_broker, on=True)
            fates = await asyncio.gather(*(producer.enqueue(double, 1) for _ in range(120)), return_exceptions=True)
            memory.block(memory_broker, on=False)
    assert {type(fate) for fate in fates} == {errors.BrokerBlocked}
