"""When the broker hears of what is settled: at once of few, together of many, and never late."""

import asyncio
from collections.abc import Callable
from typing import Any

import pika
import pytest
from tests.common.amqp.harness import scenario

from warren.amqp import pika_consuming
from warren.amqp.pika_consuming import Consumer, Consuming
from warren.amqp.pika_frames import HEADER, METHOD
from warren.amqp.seam import Delivery, Settle

CHANNEL = 1
NEVER = 3600.0
SOON = 0.001
HELD = 200


class Side:
    """A consuming channel whose broker is this test; what is written to it is kept."""

    def __init__(self, *, prefetch: int) -> None:
        self.channel_number, self.is_open, self.channel = CHANNEL, True, self
        self.on_loop: dict[int, Callable[[int, bytes, int, int], bool]] = {}
        self.taps = self
        self.sent: list[bytes] = []
        self.wrote = asyncio.Event()
        self.held: list[Delivery] = []
        stand_in: Any = self
        self.consuming = Consuming(stand_in, stand_in)
        self.tag = self.add(prefetch)

    def add(self, prefetch: int) -> str:
        return self.consuming.add(Consumer("jobs", self.held.append, no_ack=False, prefetch=prefetch))

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        self.wrote.set()

    write_through = write

    def deliver(self, number: int) -> None:
        for _ in range(number):
            method = pika.spec.Basic.Deliver(self.tag, len(self.held) + 1, False, "", "jobs")  # type: ignore[no-untyped-call]
            for kind, frame in (
                (METHOD, pika.frame.Method(CHANNEL, method)),
                (HEADER, pika.frame.Header(CHANNEL, 0, pika.BasicProperties())),  # type: ignore[no-untyped-call]
            ):
                payload = frame.marshal()[7:-1]
                self.on_loop[CHANNEL](kind, payload, 0, len(payload))

    def ack(self, *places: int) -> None:
        for place in places:
            assert self.consuming.settle(self.held[place].tag, Settle.ACK)


@pytest.fixture(autouse=True)
def _lags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pika_consuming, "_LAG_SECONDS", NEVER)
    monkeypatch.setattr(pika_consuming, "_LAG_AHEAD_SECONDS", NEVER)


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def _sent(side: Side) -> None:
    async with asyncio.timeout(10):
        await side.wrote.wait()


@scenario
async def test_of_few_each_is_told_at_once() -> None:
    side = Side(prefetch=HELD)
    side.deliver(4)
    side.ack(0)
    side.ack(1)
    assert len(side.sent) == 2


@scenario
async def test_what_is_settled_of_many_is_told_when_there_are_enough_to_be_told_together() -> None:
    side = Side(prefetch=HELD)
    side.deliver(HELD)
    side.ack(*range(pika_consuming._MANY - 1))
    await _turns()
    assert side.sent == []
    side.ack(pika_consuming._MANY - 1)
    await _turns()
    assert len(side.sent) == 1, "one ack stands for all"


@scenario
async def test_a_batch_that_is_settled_in_one_turn_is_told_by_few_acks() -> None:
    side = Side(prefetch=HELD)
    side.deliver(HELD)
    side.ack(*range(HELD))
    await _turns()
    assert len(side.sent) < HELD / 10, "each time half of what is left, and the last few singly"


@scenario
async def test_fewer_are_told_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pika_consuming, "_LAG_AHEAD_SECONDS", SOON)
    side = Side(prefetch=HELD)
    side.deliver(HELD)
    side.ack(0)
    assert side.sent == []
    await _sent(side)


@scenario
async def test_a_consumer_that_waits_for_each_ack_waits_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pika_consuming, "_LAG_SECONDS", SOON)
    side = Side(prefetch=1)
    wide = side.add(HELD)
    side.deliver(HELD)
    side.ack(0)
    await _turns()
    assert side.sent == []
    side.consuming.flush()
    side.wrote.clear()
    side.consuming.forget(wide)
    side.ack(1)
    await _sent(side)
