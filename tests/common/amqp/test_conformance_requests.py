"""What every engine promises about asking a queue for single messages; the same tests run on memory, pika and aio-pika."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.common.amqp.harness import DEADLINE_SECONDS, Inbox, Side, error_of, eventually, loss, scenario

from warren.amqp.seam import ChannelRefused, Connection, Delivery, Depth, Message, Settle, missing
from warren.topology import Queue


async def get(connection: Connection, queue: Queue) -> Delivery:
    """The next message, which must be there."""
    delivery = await asyncio.wait_for(connection.get(queue.name), DEADLINE_SECONDS)
    assert delivery is not None
    return delivery


@scenario
async def test_a_message_that_is_asked_for_is_as_it_was_sent(side: Side) -> None:
    sent = Message(
        b"x" * 300_000, message_id="id-1", type="job", priority=7, headers={"flag": True, "n": -5, "text": "grün"}
    )
    async with side.connected() as connection:
        queue = await side.queue(connection)
        assert await error_of(connection.publish(sent, side.name("jobs"), queue.name)) is None
        got = await get(connection, queue)
        headers = {name: value for name, value in got.message.headers.items() if not name.startswith("x-")}
        assert replace(got.message, headers=headers) == sent
        address = (got.queue, got.exchange, got.routing_key, got.redelivered)
        assert address == (queue.name, side.name("jobs"), queue.name, False)


@scenario
async def test_messages_are_asked_for_one_by_one_until_none_is_ready(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        assert await connection.get(queue.name) is None
        await side.send(connection, queue, b"1", b"2")
        held = [await get(connection, queue) for _ in range(2)]
        assert [one.message.body for one in held] == [b"1", b"2"]
        assert await connection.get(queue.name) is None
        depth = await connection.depth(queue.name)  # RabbitMQ counts as a consumer whoever holds what it asked for
        assert depth is not None
        assert depth.ready == 0


@scenario
async def test_what_was_asked_for_is_settled_as_any_delivery(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.send(connection, queue, b"1", b"2", b"3")
        done, given_back, returned = [await get(connection, queue) for _ in range(3)]
        assert connection.settle(done, Settle.ACK)
        assert connection.settle(given_back, Settle.GIVE_BACK)
        again = await get(connection, queue)
        assert (again.message.body, again.redelivered) == (b"2", True)
        assert connection.settle(returned, Settle.RETURN)
        charged = await get(connection, queue)
        assert (charged.message.body, charged.message.headers["x-delivery-count"]) == (b"3", 1)


@scenario
async def test_several_that_are_asked_for_at_once_are_different_and_in_order(side: Side) -> None:
    async with side.connected() as connection:
        queue, other = await side.queue(connection), await side.queue(connection, "other")
        await side.send(connection, queue, *[b"%d" % number for number in range(5)])
        await side.send(connection, other, b"other")
        asked = [connection.get(name) for name in (queue.name,) * 4 + (other.name,) + (queue.name,) * 3]
        got = [one and one.message.body for one in await asyncio.gather(*asked)]
        assert got == [b"0", b"1", b"2", b"3", b"other", b"4", None, None]


@scenario
async def test_asking_goes_beside_a_consumer_of_the_same_queue(side: Side) -> None:
    async with side.connected() as connection:
        queue, inbox = await side.queue(connection), Inbox()
        subscription = await connection.consume(queue.name, inbox)
        await side.send(connection, queue, b"1", b"2", b"3")
        held = await inbox.next()
        assert (await get(connection, queue)).message.body == b"2"
        await connection.cancel(subscription)
        assert connection.settle(held, Settle.ACK)
        assert (await get(connection, queue)).message.body == b"3"
        assert len(inbox) == 0


@scenario
async def test_asking_a_queue_that_is_not_there_is_refused_and_the_loss_of_the_connection(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        assert await connection.get(queue.name) is None
        await side.delete_queue(queue)
        with pytest.raises(ChannelRefused) as refused:
            await connection.get(queue.name)
        assert refused.value.code == 404
        assert await loss(connection) == missing(queue.name)


@scenario
async def test_what_was_asked_for_goes_back_when_its_connection_ends(side: Side) -> None:
    async with side.connected() as other:
        async with side.connected() as connection:
            queue = await side.queue(connection)
            await side.send(connection, queue, b"1")
            held = await get(connection, queue)
        assert not connection.settle(held, Settle.ACK)

        async def is_back() -> bool:
            return await other.depth(queue.name) == Depth(ready=1, consumers=0)

        await eventually(is_back)
        assert (await get(other, queue)).redelivered


@scenario
async def test_what_comes_for_somebody_who_no_longer_waits_goes_back(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        assert await connection.get(queue.name) is None
        await side.send(connection, queue, b"1")
        asking = asyncio.create_task(connection.get(queue.name))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        async def comes_again() -> bool:
            return await connection.get(queue.name) is not None

        await eventually(comes_again)
