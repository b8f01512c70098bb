"""The asynchronous producer has the same verbs, awaited."""

import asyncio

import pytest
from tests.common.amqp.harness import scenario
from tests.producer.hands import (
    Hands,
    done,
    double,
    later,
    nothing,
    published_while_away,
    settings,
    silent,
)

from warren import errors
from warren.amqp import memory
from warren.producer import AsyncProducer
from warren.states import JobState


@scenario
async def test_a_job_is_enqueued_and_its_result_comes_back(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.enqueue(double, 21)
            assert await handle.result(timeout=10) == 42
            assert await (await producer.enqueue("shop:double", 1, by=5)).result(timeout=10) == 5
            assert handle.id in repr(handle)


@scenario
async def test_many_jobs_are_enqueued_in_order(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker)) as producer:
            handles = await producer.enqueue_many(double.call(number) for number in range(300))
            assert await asyncio.gather(*(handle.result(10) for handle in handles)) == [2 * n for n in range(300)]


@scenario
async def test_a_map_gives_its_results_in_order_and_tells_its_progress(memory_broker: str) -> None:
    with Hands(memory_broker):
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.map(double, range(25), chunk=10, kwargs={"by": 3})
            assert await handle.results(timeout=10) == [3 * number for number in range(25)]
            assert (handle.progress, len(handle.ids)) == ((25, 25), 3)
            with pytest.raises(errors.MapFailed, match="1 of 2 items failed for good, the first at position 1"):
                await (await producer.map(double, [1, -1])).results(timeout=10)


@scenario
async def test_what_cannot_be_sent_is_told(memory_broker: str) -> None:
    async with AsyncProducer(settings(memory_broker, payload_limit=100, declare=False)) as producer:
        with pytest.raises(errors.InvalidArguments, match="argument 'number'"):
            await producer.enqueue(double, "x")  # type: ignore[call-overload]
        with pytest.raises(errors.PayloadTooLarge):
            await producer.enqueue(later, "x" * 200)
        with pytest.raises(errors.Unroutable):
            await producer.enqueue(double, 1)
    with pytest.raises(errors.WrongUse, match="closed"):
        await producer.enqueue(double, 1)


@scenario
async def test_an_alarm_is_told_as_such_within_the_deadline(memory_broker: str) -> None:
    async with AsyncProducer(settings(memory_broker, publish_timeout=1.0)) as producer:
        await producer.enqueue(double, 1)
        memory.block(memory_broker, on=True)
        with pytest.raises(errors.BrokerBlocked):
            await producer.enqueue(double, 2)


@scenario
async def test_a_broker_that_is_not_there_is_told_within_the_deadline() -> None:
    producer = AsyncProducer(settings("", url="amqp://guest:guest@127.0.0.1:1/", publish_timeout=1.5))
    with pytest.raises(errors.BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await producer.enqueue(double, 1)
    await producer.close()


@scenario
async def test_waiting_may_end_before_the_job_and_be_taken_up_again(memory_broker: str) -> None:
    with Hands(memory_broker, nothing) as idle:
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.enqueue(double, 1)
            with pytest.raises(errors.ResultTimeout):
                await handle.result(timeout=0.02)
            (job,) = await asyncio.to_thread(idle.took, 1)
            await asyncio.to_thread(idle.publish, done(job, 2), job)
            assert await handle.result(timeout=10) == 2
            with pytest.raises(errors.NoResult):
                await (await producer.enqueue(silent, "a")).result()


@scenario
async def test_a_cancelled_wait_leaves_the_job_alone(memory_broker: str) -> None:
    with Hands(memory_broker, nothing) as idle:
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.enqueue(double, 1)
            waiting = asyncio.ensure_future(handle.result())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            (job,) = await asyncio.to_thread(idle.took, 1)
            await asyncio.to_thread(idle.publish, done(job, 2), job)
            assert await handle.result(timeout=10) == 2


@scenario
async def test_a_result_published_while_the_producer_was_away_is_found(memory_broker: str) -> None:
    with Hands(memory_broker, nothing) as idle:
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.enqueue(double, 1)
            (job,) = await asyncio.to_thread(idle.took, 1)
            waiting = asyncio.ensure_future(handle.result(20))
            await asyncio.sleep(0)
            published_while_away(memory_broker, done(job, 2), job)
            assert await waiting == 2
            found = await producer.find(handle.id)
            assert found is not None
            assert found.state is JobState.DONE
            assert await producer.handle(handle.id).result(timeout=10) == 2
