"""Publishes that are late are told apart from waits that somebody cancelled."""

import asyncio

import pytest
from tests.common.amqp.harness import scenario

from warren.producer.deadlines import Deadlines


def in_flight() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


@scenario
async def test_a_publish_that_is_not_confirmed_in_time_is_late() -> None:
    deadlines = Deadlines(0.05)
    late = [deadlines.watch(in_flight()) for _ in range(3)]
    for one in late:
        with pytest.raises(TimeoutError):
            await one.confirmed()
        assert one.future.cancelled()


@scenario
async def test_a_publish_that_is_confirmed_is_not() -> None:
    deadlines = Deadlines(0.05)
    first, second = deadlines.watch(in_flight()), deadlines.watch(in_flight())
    second.future.set_result(None)
    await second.confirmed()
    with pytest.raises(TimeoutError):
        await first.confirmed()


@scenario
async def test_a_wait_that_is_cancelled_is_not_late() -> None:
    waiting = asyncio.create_task(Deadlines(60).watch(in_flight()).confirmed())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@scenario
async def test_what_is_confirmed_is_not_kept() -> None:
    deadlines = Deadlines(60)
    for _ in range(1000):
        deadlines.watch(in_flight()).future.set_result(None)
    assert len(deadlines._watched) == 1


@scenario
async def test_all_can_be_given_up() -> None:
    deadlines = Deadlines(60)
    watched = deadlines.watch(in_flight())
    deadlines.cancel_all()
    with pytest.raises(asyncio.CancelledError):
        await watched.confirmed()
