"""Several consumers on one connection: each has its own prefetch, none is disturbed by another's end."""

import asyncio

import pytest
from tests.common.amqp.harness import DEADLINE_SECONDS, Inbox, Side, eventually, loss, scenario

from warren.amqp.seam import ChannelRefused, Settle, cancelled


@scenario
async def test_each_consumer_of_a_queue_has_its_own_prefetch(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inboxes = [Inbox() for _ in range(3)]
        for inbox in inboxes:
            await connection.consume(queue.name, inbox)
        await side.send(connection, queue, b"1", b"2", b"3", b"4")
        held = [await inbox.next() for inbox in inboxes]
        assert sorted(one.message.body for one in held) == [b"1", b"2", b"3"]
        assert connection.settle(held[1], Settle.ACK)
        assert (await inboxes[1].next()).message.body == b"4"
        assert [len(inbox) for inbox in inboxes] == [0, 0, 0]


@scenario
async def test_consumers_of_a_queue_may_differ_in_their_prefetch(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        one, two = Inbox(), Inbox()
        await connection.consume(queue.name, one, prefetch=1)
        await connection.consume(queue.name, two, prefetch=2)
        await side.send(connection, queue, b"1", b"2", b"3", b"4")
        bodies = [(await inbox.next()).message.body for inbox in (one, two, two)]
        assert sorted(bodies) == [b"1", b"2", b"3"]


@scenario
async def test_consumers_that_are_opened_at_the_same_time_each_have_their_own_prefetch(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inboxes = [Inbox() for _ in range(4)]
        opening = (connection.consume(queue.name, inbox, prefetch=1 + 2 * n) for n, inbox in enumerate(inboxes))
        await asyncio.gather(*opening)
        await side.send(connection, queue, *(b"%d" % number for number in range(20)))
        held = [[await inbox.next() for _ in range(1 + 2 * n)] for n, inbox in enumerate(inboxes)]
        assert sorted(int(each.message.body) for some in held for each in some) == list(range(16))
        assert [len(inbox) for inbox in inboxes] == [0, 0, 0, 0]


@scenario
async def test_a_cancelled_consumer_settles_what_it_holds_and_its_neighbour_goes_on(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        ended, staying = Inbox(), Inbox()
        first = await connection.consume(queue.name, ended)
        await side.send(connection, queue, b"1")
        held = await ended.next()
        await connection.consume(queue.name, staying)
        await connection.cancel(first)
        await side.send(connection, queue, b"2", b"3")
        assert await staying.take(connection, 2) == [b"2", b"3"]
        assert connection.settle(held, Settle.GIVE_BACK)
        again = await staying.next()
        assert (again.message.body, again.redelivered, len(ended)) == (b"1", True, 0)


@scenario
async def test_consumers_that_come_and_go_leave_no_channels_behind(side: Side) -> None:
    async with side.connected() as connection:
        queue, inbox = await side.queue(connection), Inbox()
        came = []
        for number in range(5):
            came.append(await connection.consume(queue.name, inbox))
            await side.send(connection, queue, b"%d" % number)
            held = await inbox.next()
            await connection.cancel(came[-1])
            assert connection.settle(held, Settle.ACK)
        if side.engine != "memory":  # which has none
            assert len({id(one.channel) for one in came}) == 1


@scenario
async def test_consumers_may_be_opened_at_the_same_time(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inbox = Inbox()
        subscriptions = await asyncio.gather(*[connection.consume(queue.name, inbox) for _ in range(5)])
        await side.send(connection, queue, *[b"%d" % number for number in range(20)])
        assert len(await inbox.take(connection, 20)) == 20
        await asyncio.gather(*[connection.cancel(one) for one in subscriptions])


@scenario
async def test_a_refused_consumer_leaves_those_of_other_queues_alone(side: Side) -> None:
    async with side.connected() as connection:
        queue, inbox = await side.queue(connection), Inbox()
        for _ in range(2):
            await connection.consume(queue.name, inbox)
            with pytest.raises(ChannelRefused):
                await connection.consume(side.name("missing"), inbox)
        await side.send(connection, queue, b"1", b"2")
        assert sorted(await inbox.take(connection, 2)) == [b"1", b"2"]
        assert not connection.lost.done()


@scenario
async def test_a_deleted_queue_is_named_though_others_are_consumed_too(side: Side) -> None:
    async with side.connected() as connection:
        going, staying = await side.queue(connection, "going"), await side.queue(connection, "staying")
        for queue in (going, going, staying):
            await connection.consume(queue.name, Inbox())
        await side.delete_queue(going)
        assert await loss(connection) == cancelled(going.name)


@scenario
async def test_what_arrives_for_a_consumer_that_is_being_cancelled_goes_back(side: Side) -> None:
    async with side.connected() as connection:
        queue, seen = await side.queue(connection, x_delivery_limit=2), Inbox()
        for _ in range(5):
            subscription = await connection.consume(queue.name, seen, prefetch=100)
            sending = asyncio.gather(side.send(connection, queue, b"x"), connection.cancel(subscription))
            await asyncio.wait_for(sending, DEADLINE_SECONDS)
            while len(seen):
                assert connection.settle(await seen.next(), Settle.ACK)
        kept = Inbox()
        await connection.consume(queue.name, kept, prefetch=100)
        await side.send(connection, queue, b"last")

        async def last_came() -> bool:
            while len(kept):
                if (await kept.next()).message.body == b"last":
                    return True
            return False

        await eventually(last_came)
