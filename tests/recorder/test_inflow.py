"""Reading ahead: by number and by size, so that big messages do not fill the memory."""

import asyncio
from collections.abc import Awaitable, Callable

from warren.amqp.seam import OFFSET, Delivery, Message, Settle
from warren.recorder.inflow import AHEAD_BYTES, BATCH, BATCH_BYTES, PREFETCH, Inflow

BIG = bytes(256 * 1024)


class Stream:
    """A connection on which a stream is read: it delivers as long as not too much is unsettled."""

    def __init__(self, messages: int, body: bytes) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.messages, self.body = messages, body
        self.delivered = self.settled = self.prefetch = 0
        self.on_delivery: Callable[[Delivery], None] = lambda _: None

    async def consume(
        self, queue: str, on_delivery: Callable[[Delivery], None], *, prefetch: int, offset: object
    ) -> object:
        self.prefetch, self.on_delivery = prefetch, on_delivery
        return object()

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        self.settled = delivery.tag
        return True

    def deliver(self) -> None:
        while self.delivered < self.messages and self.delivered - self.settled < self.prefetch:
            self.delivered += 1
            message = Message(self.body, headers={OFFSET: self.delivered})
            self.on_delivery(Delivery(message, "q", "", "q", redelivered=False, tag=self.delivered, channel=self))


def scenario(messages: int, body: bytes, test: Callable[[Stream, Inflow], Awaitable[None]]) -> None:
    async def go() -> None:
        stream = Stream(messages, body)
        inflow = Inflow(stream, "q")  # type: ignore[arg-type] # the part that it uses
        await inflow.open(0)
        stream.deliver()
        await test(stream, inflow)

    asyncio.run(go())


def test_big_messages_are_held_back_by_their_size() -> None:
    async def test(stream: Stream, inflow: Inflow) -> None:
        assert stream.delivered * len(BIG) <= AHEAD_BYTES + PREFETCH * len(BIG)
        taken = 0
        while taken < stream.messages:
            batch = await inflow.take(0)
            assert len(batch) * len(BIG) <= BATCH_BYTES
            assert [delivery.tag for delivery in batch] == list(range(taken + 1, taken + 1 + len(batch)))
            taken += len(batch)
            stream.deliver()
            assert (stream.delivered - taken) * len(BIG) <= AHEAD_BYTES + PREFETCH * len(BIG)
        assert inflow.is_empty

    scenario(2_000, BIG, test)


def test_of_small_messages_a_batch_is_full_though_few_are_asked_for_at_a_time() -> None:
    async def test(stream: Stream, inflow: Inflow) -> None:
        assert stream.delivered >= 2 * BATCH
        assert len(await inflow.take(0)) == BATCH

    scenario(3 * BATCH, b"small", test)


def test_one_message_that_is_bigger_than_a_batch_is_a_batch() -> None:
    async def test(stream: Stream, inflow: Inflow) -> None:
        assert [len(await inflow.take(0)) for _ in range(2)] == [1, 1]

    scenario(2, bytes(BATCH_BYTES + 1), test)
