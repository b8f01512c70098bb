"""What every engine promises about publishing and consuming; the same tests run on memory, pika and aio-pika."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.common.amqp.harness import DEADLINE_SECONDS, Inbox, Side, error_of, eventually, loss, scenario

from warren.amqp.seam import ChannelRefused, ConnectionLost, Copy, Depth, Form, Message, Returned, Settle, SomeFailed
from warren.producer.link import Session
from warren.topology import Queue

# --- publishing ------------------------------------------------------------------------------------------------------


@scenario
async def test_a_confirmed_publish_arrives_with_every_property_and_header_intact(side: Side) -> None:
    sent = Message(
        b'{"task": "m:f"}',
        message_id="id-1",
        type="job",
        content_type="application/json",
        priority=7,
        timestamp=1_700_000_000,
        expiration=3_600_000,
        reply_to="somebody",
        correlation_id="id-0",
        app_id="warren",
        headers={"flag": True, "off": False, "n": -5, "big": 2**40, "text": "grün 🐇", "none": None, "list": [1, "a"]},
    )
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        assert await error_of(connection.publish(sent, side.name("jobs"), queue.name)) is None
        delivery = await inbox.next()
        assert delivery.message == sent
        assert type(delivery.message.headers["flag"]) is bool
        assert (delivery.queue, delivery.exchange, delivery.routing_key, delivery.redelivered) == (
            queue.name,
            side.name("jobs"),
            queue.name,
            False,
        )


@pytest.mark.parametrize("body", [b"", "grün 🐇".encode(), bytes(range(256)), b"x" * 300_000])
@scenario
async def test_any_body_arrives_as_it_was_and_unset_properties_stay_unset(side: Side, body: bytes) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        await connection.publish(Message(body), side.name("jobs"), queue.name)
        # aiormq gives every message an id, by which it knows one that is returned.
        assert replace((await inbox.next()).message, message_id=None) == Message(body)


@scenario
async def test_a_publish_is_not_done_before_the_broker_answered(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        future = connection.publish(Message(b"1"), side.name("jobs"), queue.name)
        assert not future.done()
        assert await error_of(future) is None
        assert await connection.depth(queue.name) == Depth(ready=1, consumers=0)


@scenario
async def test_an_unroutable_message_comes_back_and_the_connection_goes_on(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        lost = connection.publish(Message(b"?", message_id="a"), side.name("jobs"), "nowhere")
        assert isinstance(await error_of(lost), Returned)
        await side.send(connection, queue, b"1")
        assert await connection.depth(queue.name) == Depth(ready=1, consumers=0)
        assert not connection.lost.done()


@scenario
async def test_an_unroutable_message_that_is_not_mandatory_is_confirmed(side: Side) -> None:
    async with side.connected() as connection:
        await side.queue(connection)
        assert await error_of(connection.publish(Message(b"?"), side.name("jobs"), "nowhere", mandatory=False)) is None


@scenario
async def test_of_many_publishes_in_flight_each_gets_its_own_verdict(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        futures = [
            connection.publish(
                Message(b"%d" % number, message_id=f"m{number}"),
                side.name("jobs"),
                "nowhere" if number == 57 else queue.name,
            )
            for number in range(200)
        ]
        errors = [await error_of(future) for future in futures]
        assert isinstance(errors.pop(57), Returned)
        assert set(errors) == {None}
        inbox = Inbox()
        await connection.consume(queue.name, inbox, prefetch=200)
        assert await inbox.take(connection, 199) == [b"%d" % number for number in range(200) if number != 57]


@scenario
async def test_of_messages_published_together_each_gets_its_own_verdict(side: Side) -> None:
    async with side.connected() as connection:
        queue, session = await side.queue(connection), Session(connection)
        form = Form(Message(b"", content_type="text/plain"), "at")
        letters = [Copy(form, f"m{number}", number, b"%d" % number) for number in range(300)]
        assert await error_of(session.publish(letters, side.name("jobs"), queue.name)) is None
        failed = await error_of(session.publish(letters[:7], side.name("jobs"), "nowhere"))
        assert isinstance(failed, SomeFailed)
        assert {place: type(error) for place, error in failed.errors.items()} == dict.fromkeys(range(7), Returned)
        alone = session.publish([Message(b"?", message_id="alone")], side.name("jobs"), "nowhere")
        assert isinstance(await error_of(alone), Returned)
        inbox = Inbox()
        await connection.consume(queue.name, inbox, prefetch=300)
        delivery = await inbox.next()
        assert delivery.message == letters[0].message()
        assert await inbox.take(connection, 299) == [b"%d" % number for number in range(1, 300)]


@scenario
async def test_messages_published_together_get_an_answer_when_the_connection_closes(side: Side) -> None:
    connection = await side.open()
    queue = await side.queue(connection)
    letters = [Message(b"1", message_id=f"m{number}") for number in range(50)]
    future = Session(connection).publish(letters, side.name("jobs"), queue.name)
    await connection.close()
    error = await error_of(future)
    if error is not None:
        assert isinstance(error, SomeFailed)
        assert {type(one) for one in error.errors.values()} == {ConnectionLost}


@pytest.mark.parametrize("message_id", ["same", None])
@scenario
async def test_publishes_of_the_same_message_id_get_their_own_verdicts(side: Side, message_id: str | None) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        keys = [queue.name, "nowhere", queue.name, queue.name, "nowhere"]
        futures = [connection.publish(Message(b"1", message_id=message_id), side.name("jobs"), key) for key in keys]
        verdicts = [type(await error_of(future)) for future in futures]
        assert verdicts == [type(None), Returned, type(None), type(None), Returned]


@scenario
async def test_publishing_to_a_missing_exchange_is_refused_and_loses_the_connection(side: Side) -> None:
    async with side.connected() as connection:
        refused = await error_of(connection.publish(Message(b"1"), side.name("no-such"), "key"))
        assert isinstance(refused, ChannelRefused)
        assert refused.code == 404
        await loss(connection)


@scenario
async def test_nothing_can_be_done_on_a_lost_connection(side: Side) -> None:
    connection = await side.open()
    await connection.close()
    assert isinstance(await error_of(connection.publish(Message(b"1"), "", "key")), ConnectionLost)
    with pytest.raises(ConnectionLost):
        await connection.consume(side.name("queue"), Inbox())
    with pytest.raises(ConnectionLost):
        await connection.declare(Queue(side.name("queue"), exclusive=True))
    with pytest.raises(ConnectionLost):
        await connection.depth(side.name("queue"))


# --- consuming and settling ------------------------------------------------------------------------------------------


@scenario
async def test_prefetch_one_gives_exactly_one_until_it_is_acknowledged(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.send(connection, queue, b"1", b"2", b"3")
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        for body, left in ((b"1", 2), (b"2", 1), (b"3", 0)):
            delivery = await inbox.next()
            await eventually(lambda left=left: _has(side, queue, Depth(left, 1)))  # type: ignore[misc]
            assert (delivery.message.body, len(inbox)) == (body, 0)
            assert connection.settle(delivery, Settle.ACK)


async def _has(side: Side, queue: Queue, depth: Depth) -> bool:
    async with side.connected() as other:
        return await other.depth(queue.name) == depth


@scenario
async def test_two_consumers_of_one_connection_get_one_each(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        first, second = Inbox(), Inbox()
        await connection.consume(queue.name, first)
        await connection.consume(queue.name, second)
        await side.send(connection, queue, b"1", b"2", b"3")
        bodies = {(await first.next()).message.body, (await second.next()).message.body}
        assert bodies == {b"1", b"2"}
        await eventually(lambda: _has(side, queue, Depth(1, 2)))
        assert not len(first) + len(second)


@scenario
async def test_acknowledged_messages_are_gone_for_good(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.send(connection, queue, b"1", b"2")
        inbox = Inbox()
        await connection.consume(queue.name, inbox, prefetch=2)
        assert await inbox.take(connection, 2) == [b"1", b"2"]
    await eventually(lambda: _has(side, queue, Depth(0, 0)))


@pytest.mark.parametrize("how", [Settle.GIVE_BACK, Settle.RETURN])
@scenario
async def test_a_returned_message_comes_again_redelivered_and_before_new_ones(side: Side, how: Settle) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.send(connection, queue, b"1", b"2")
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        first = await inbox.next()
        assert connection.settle(first, how)
        again = await inbox.next()
        assert (again.message.body, again.redelivered) == (b"1", True)
        assert connection.settle(again, Settle.ACK)
        assert await inbox.take(connection, 1) == [b"2"]


@scenario
async def test_what_is_unsettled_when_a_connection_closes_comes_again_redelivered(side: Side) -> None:
    connection = await side.open()
    queue = await side.queue(connection)
    await side.send(connection, queue, b"1", b"2", b"3")
    inbox = Inbox()
    await connection.consume(queue.name, inbox, prefetch=2)
    held = [await inbox.next(), await inbox.next()]
    await connection.close()
    assert not connection.settle(held[0], Settle.ACK)
    async with side.connected() as other:
        inbox = Inbox()
        await other.consume(queue.name, inbox, prefetch=3)
        again = [await inbox.next() for _ in range(3)]
        assert [(one.message.body, one.redelivered) for one in again] == [(b"1", True), (b"2", True), (b"3", False)]
        assert not connection.settle(held[1], Settle.ACK)


@scenario
async def test_a_cancelled_consumer_gets_nothing_more_and_may_settle_what_it_holds(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.send(connection, queue, b"1", b"2")
        inbox = Inbox()
        subscription = await connection.consume(queue.name, inbox)
        delivery = await inbox.next()
        await connection.cancel(subscription)
        assert connection.settle(delivery, Settle.ACK)
        await eventually(lambda: _has(side, queue, Depth(1, 0)))
        assert not len(inbox)
        assert not connection.lost.done()
    async with side.connected() as other:
        inbox = Inbox()
        await other.consume(queue.name, inbox)
        assert await inbox.take(other, 1) == [b"2"]


@scenario
async def test_many_consumers_of_a_queue_are_cancelled_together(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inbox = Inbox()
        consumers = [await connection.consume(queue.name, inbox) for _ in range(30)]
        await side.send(connection, queue, *(b"%d" % number for number in range(30)))
        held = [await inbox.next() for _ in range(30)]
        await asyncio.gather(*(connection.cancel(consumer) for consumer in consumers))
        assert all(connection.settle(delivery, Settle.ACK) for delivery in held)
        await side.send(connection, queue, b"new")
        await eventually(lambda: _has(side, queue, Depth(1, 0)))
        assert len(inbox) == 0


@scenario
async def test_what_many_consumers_hold_when_their_connection_ends_is_charged_once(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        inbox = Inbox()
        for _ in range(30):
            await connection.consume(queue.name, inbox)
        await side.send(connection, queue, *(b"%d" % number for number in range(30)))
        for _ in range(30):
            await inbox.next()
    async with side.connected() as connection:
        await connection.consume(queue.name, inbox, prefetch=100)
        came = [await inbox.next() for _ in range(30)]
        assert {each.message.headers.get("x-delivery-count") for each in came} == {1}


@scenario
async def test_a_consumer_without_acknowledgements_gets_everything_at_once(side: Side) -> None:
    async with side.connected() as connection:
        queue = Queue(side.name("replies"), exclusive=True)
        await connection.declare(queue)
        inbox = Inbox()
        await connection.consume(queue.name, inbox, no_ack=True)
        for body in (b"1", b"2", b"3"):
            await connection.publish(Message(body), "", queue.name)
        assert [(await inbox.next()).message.body for _ in range(3)] == [b"1", b"2", b"3"]
        assert await connection.depth(queue.name) == Depth(0, 1)


@pytest.mark.parametrize("kind", ["classic", "stream"])
@scenario
async def test_cancelling_a_consumer_with_nothing_to_settle_loses_nothing(side: Side, kind: str) -> None:
    async with side.connected() as connection:
        queue = Queue(side.name(kind), {"x-queue-type": kind})
        await connection.declare(queue)
        for _ in range(3):
            subscription = await connection.consume(queue.name, Inbox(), prefetch=5, no_ack=kind == "classic")
            await connection.cancel(subscription)
        await connection.publish(Message(b"1"), "", queue.name)
        await eventually(lambda: _is_ready(side, queue, 0 if kind == "stream" else 1))
        assert not connection.lost.done()


async def _is_ready(side: Side, queue: Queue, count: int) -> bool:
    return await _has(side, queue, Depth(count, 0))


@scenario
async def test_consuming_from_a_missing_queue_is_refused_and_costs_nothing_else(side: Side) -> None:
    async with side.connected() as connection:
        with pytest.raises(ChannelRefused) as refused:
            await connection.consume(side.name("no-such"), Inbox())
        assert refused.value.code == 404
        queue = await side.queue(connection)
        assert await connection.exists(queue)
        assert not connection.lost.done()


@scenario
async def test_a_queue_deleted_under_a_consumer_loses_the_connection(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await connection.consume(queue.name, Inbox())
        await side.delete_queue(queue)
        assert queue.name in await loss(connection)


# --- the end of a connection -----------------------------------------------------------------------------------------


@scenario
async def test_closing_resolves_lost_and_may_be_repeated(side: Side) -> None:
    connection = await side.open()
    assert not connection.lost.done()
    assert connection.blocked is False
    await connection.close()
    await connection.close()
    assert connection.lost.done()


@scenario
async def test_closing_a_lost_connection_is_quick(side: Side) -> None:
    connection = await side.open()
    queue = await side.queue(connection)
    await connection.consume(queue.name, Inbox())
    await side.delete_queue(queue)
    await loss(connection)
    async with asyncio.timeout(1.8):  # engines wait 2 s for a broker that does not answer
        await connection.close()


@scenario
async def test_publishes_in_flight_at_close_get_an_answer(side: Side) -> None:
    connection = await side.open()
    queue = await side.queue(connection)
    futures = [connection.publish(Message(b"1"), side.name("jobs"), queue.name) for _ in range(50)]
    await connection.close()
    await asyncio.wait(futures, timeout=DEADLINE_SECONDS)
    assert all(future.done() and not future.cancelled() for future in futures)
    assert {type(future.exception()) for future in futures} <= {ConnectionLost, type(None)}


@scenario
async def test_consumer_tags_are_never_used_again(side: Side) -> None:
    tags = []
    for _ in range(2):
        async with side.connected() as connection:
            queue = await side.queue(connection)
            for _ in range(2):
                subscription = await connection.consume(queue.name, Inbox())
                await connection.cancel(subscription)
                tags.append(subscription.tag)
    assert len(set(tags)) == 4
