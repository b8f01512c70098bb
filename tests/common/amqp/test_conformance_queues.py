"""What every engine promises about exchanges, queues, delays and streams; runs on memory, pika and aio-pika."""

import asyncio
import time
from collections.abc import Awaitable

import pytest
from tests.common.amqp.harness import QUORUM, Inbox, Side, error_of, eventually, scenario

from warren.amqp.seam import (
    ChannelRefused,
    Connection,
    Depth,
    Message,
    Settle,
    StreamAt,
    StreamFrom,
    StreamOffset,
    StreamStart,
)
from warren.topology import (
    DELAY_LEVELS,
    DELAY_UNIT_MS,
    MARK,
    RESULT_STREAM,
    Binding,
    Exchange,
    Names,
    Queue,
    base,
    delays,
    hearing,
    work_queue,
)

# --- declaring and asking --------------------------------------------------------------------------------------------


@scenario
async def test_declaring_the_same_again_is_fine_and_otherwise_refused(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        await side.queue(connection)
        for other in (Queue(queue.name, {**QUORUM, "x-delivery-limit": 3}), Exchange(side.name("jobs"), "topic")):
            with pytest.raises(ChannelRefused, match="PRECONDITION_FAILED - inequivalent arg") as refused:
                await connection.declare(other)
            assert refused.value.code == 406
        assert not connection.lost.done()
        await side.send(connection, queue, b"the connection goes on")


@scenario
async def test_a_headers_exchange_passes_on_what_has_a_header_whatever_it_says(side: Side) -> None:
    async with side.connected() as connection:
        queue, exchange = await side.queue(connection), Exchange(side.name("sorting"), "headers")
        await connection.declare(exchange, Binding(exchange.name, queue.name, "", header="wanted"))
        inbox = Inbox()
        await connection.consume(queue.name, inbox, prefetch=10)
        for headers in ({"wanted": "1"}, {"other": "1"}, {}, {"wanted": "2", "other": "1"}):
            await connection.publish(Message(b"x", headers=headers), exchange.name, "any", mandatory=False)
        await side.send(connection, queue, b"last")
        found = [await inbox.next() for _ in range(3)]
        assert [delivery.message.headers.get("wanted") for delivery in found] == ["1", "2", None]


@scenario
async def test_binding_what_is_missing_is_refused(side: Side) -> None:
    async with side.connected() as connection:
        queue = await side.queue(connection)
        for missing in (
            Binding(side.name("no-such"), queue.name, "key"),
            Binding(side.name("jobs"), side.name("no-such"), "key"),
            Binding(side.name("jobs"), side.name("no-such"), "key", to_exchange=True),
        ):
            with pytest.raises(ChannelRefused) as refused:
                await connection.declare(missing)
            assert refused.value.code == 404


@scenario
async def test_exists_and_depth_say_what_is_there_without_losing_the_connection(side: Side) -> None:
    async with side.connected() as connection:
        assert await connection.depth(side.name("queue")) is None
        assert not await connection.exists(Queue(side.name("queue")))
        assert not await connection.exists(Exchange(side.name("jobs"), "direct"))
        queue = await side.queue(connection)
        assert await connection.exists(queue)
        assert await connection.exists(Exchange(side.name("jobs"), "direct"))
        await side.send(connection, queue, b"1", b"2")
        await connection.consume(queue.name, Inbox())
        await eventually(lambda: _is(connection.depth(queue.name), Depth(1, 1)))
        assert not connection.lost.done()


async def _is(answer: Awaitable[Depth | None], expected: Depth) -> bool:
    return await answer == expected


@scenario
async def test_an_exclusive_queue_is_its_connections_alone_and_goes_with_it(side: Side) -> None:
    queue = Queue(side.name("replies"), exclusive=True)
    async with side.connected() as other:
        async with side.connected() as owner:
            await owner.declare(queue, queue)
            with pytest.raises(ChannelRefused) as refused:
                await other.declare(queue)
            assert refused.value.code == 405
        await eventually(lambda: _absent(side, queue))
        await other.declare(queue)


async def _absent(side: Side, queue: Queue) -> bool:
    async with side.connected() as connection:
        return not await connection.exists(queue)


@scenario
async def test_an_exclusive_queue_outlives_its_consumers(side: Side) -> None:
    async with side.connected() as connection:
        queue = Queue(side.name("replies"), exclusive=True)
        await connection.declare(queue)
        await connection.cancel(await connection.consume(queue.name, Inbox()))
        assert await connection.exists(queue)


# --- routing ---------------------------------------------------------------------------------------------------------


@scenario
async def test_topic_fanout_and_exchange_bindings_bring_a_message_once_to_each_queue(side: Side) -> None:
    topic, fanout = Exchange(side.name("topic"), "topic"), Exchange(side.name("fanout"), "fanout")
    queues = {what: Queue(side.name(what), exclusive=True) for what in ("star", "hash", "exact", "all")}
    async with side.connected() as connection:
        await connection.declare(topic, fanout, *queues.values())
        for what, key in (("star", "a.*"), ("hash", "a.#"), ("hash", "#.b"), ("exact", "a.b.c")):
            await connection.declare(Binding(topic.name, queues[what].name, key))
        await connection.declare(Binding(topic.name, fanout.name, "a.#", to_exchange=True))
        await connection.declare(Binding(fanout.name, queues["all"].name, ""))
        await connection.declare(Binding(fanout.name, queues["star"].name, "ignored"))
        for key in ("a", "a.b", "a.b.c", "z.b"):
            await connection.publish(Message(key.encode()), topic.name, key)
        expected = {
            "star": [b"a", b"a.b", b"a.b.c"],
            "hash": [b"a", b"a.b", b"a.b.c", b"z.b"],
            "exact": [b"a.b.c"],
            "all": [b"a", b"a.b", b"a.b.c"],
        }
        for what, bodies in expected.items():
            assert await connection.depth(queues[what].name) == Depth(len(bodies), 0)
            inbox = Inbox()
            await connection.consume(queues[what].name, inbox)
            assert await inbox.take(connection, len(bodies)) == bodies


@scenario
async def test_an_alternate_exchange_catches_what_nothing_else_takes(side: Side) -> None:
    async with side.connected() as connection:
        rest, out = Exchange(side.name("rest"), "fanout"), side.name("out")
        caught = Queue(side.name("caught"), exclusive=True)
        await connection.declare(rest, caught, Binding(rest.name, caught.name, ""))
        await connection.declare(Exchange(out, "topic", {"alternate-exchange": rest.name}))
        inbox = Inbox()
        await connection.consume(caught.name, inbox)
        assert await error_of(connection.publish(Message(b"1"), out, "no.binding")) is None
        delivery = await inbox.next()
        assert (delivery.exchange, delivery.routing_key) == (out, "no.binding")


# --- dead-lettering and delays ---------------------------------------------------------------------------------------


@scenario
async def test_a_message_returned_too_often_is_dead_lettered_with_its_reason(side: Side) -> None:
    async with side.connected() as connection:
        dead = await side.queue(connection, "dead")
        queue = await side.queue(
            connection,
            x_delivery_limit=2,
            x_dead_letter_exchange=side.name("jobs"),
            x_dead_letter_routing_key=dead.name,
        )
        await side.send(connection, queue, b"1")
        inbox, dead_inbox = Inbox(), Inbox()
        await connection.consume(dead.name, dead_inbox)
        await connection.consume(queue.name, inbox)
        for count in (None, 1, 2):
            delivery = await inbox.next()
            assert delivery.message.headers.get("x-delivery-count") == count
            assert connection.settle(delivery, Settle.RETURN)
        delivery = await dead_inbox.next()
        deaths = delivery.message.headers["x-death"]
        assert isinstance(deaths, list)
        assert (deaths[0]["reason"], deaths[0]["queue"], deaths[0]["count"]) == ("delivery_limit", queue.name, 1)
        assert delivery.message.headers["x-first-death-reason"] == "delivery_limit"
        # Whether it counts as redelivered depends on the version: RabbitMQ 4.3 says yes, 3.10 no.
        assert (delivery.queue, delivery.routing_key) == (dead.name, dead.name)
        assert not len(inbox)


@pytest.mark.parametrize("expiration", [None, 60])
@scenario
async def test_an_expired_message_goes_to_the_next_queue_in_its_order(side: Side, expiration: int | None) -> None:
    async with side.connected() as connection:
        done = await side.queue(connection, "done")
        waiting = await side.queue(
            connection,
            "waiting",
            x_message_ttl=30_000 if expiration else 60,
            x_dead_letter_exchange=side.name("jobs"),
            x_dead_letter_routing_key=done.name,
        )
        inbox = Inbox()
        await connection.consume(done.name, inbox)
        start = time.monotonic()
        for number in range(3):
            message = Message(b"%d" % number, message_id=f"m{number}", expiration=expiration, headers={"mine": 1})
            await connection.publish(message, side.name("jobs"), waiting.name)
        delivery = await inbox.next()
        assert time.monotonic() - start >= 0.06
        assert (delivery.message.message_id, delivery.message.expiration) == ("m0", None)
        assert delivery.message.headers["mine"] == 1
        assert delivery.message.headers["x-first-death-reason"] == "expired"
        assert connection.settle(delivery, Settle.ACK)
        assert await inbox.take(connection, 2) == [b"1", b"2"]


def _delayed(names: Names, units: int, queue: str) -> tuple[str, str]:
    """Exchange and routing key for a delay: enter at the highest bit, one word per level, then the queue."""
    digits = f"{units:0{DELAY_LEVELS}b}"
    return names.delay(units.bit_length() - 1), ".".join([*digits, queue])


@scenario
async def test_the_delay_carries_a_message_out_once_and_never_early(side: Side) -> None:
    names, units = Names(side.prefix), 3
    async with side.connected() as connection:
        await connection.declare(*base(names), *delays(names), *work_queue(names, "a.b"), *work_queue(names, "b"))
        inbox, other = Inbox(), Inbox()
        await connection.consume(names.queue("a.b"), inbox)
        await connection.consume(names.queue("b"), other)
        start = time.monotonic()
        assert await error_of(connection.publish(Message(b"later"), *_delayed(names, units, "a.b"))) is None
        delivery = await inbox.next()
        lateness = time.monotonic() - start - units * DELAY_UNIT_MS / 1000
        assert 0 <= lateness < 5
        assert (delivery.message.body, delivery.redelivered) == (b"later", False)
        assert connection.settle(delivery, Settle.ACK)
        # A second copy would be here before a message that is sent, and waits, after it.
        await connection.publish(Message(b"marker"), *_delayed(names, units, "a.b"))
        assert await inbox.take(connection, 1) == [b"marker"]
        assert not len(other)


@scenario
async def test_a_delayed_message_whose_queue_is_gone_is_a_dead_letter(side: Side) -> None:
    names = Names(side.prefix)
    async with side.connected() as connection:
        await connection.declare(*base(names), *delays(names))
        inbox = Inbox()
        await connection.consume(names.dead, inbox)
        await connection.publish(Message(b"lost?"), *_delayed(names, 1, "gone"))
        assert await inbox.take(connection, 1) == [b"lost?"]


# --- streams ---------------------------------------------------------------------------------------------------------


async def _read(connection: Connection, inbox: Inbox, count: int) -> list[tuple[bytes, object]]:
    read = []
    for _ in range(count):
        delivery = await inbox.next()
        assert connection.settle(delivery, Settle.ACK)
        read.append((delivery.message.body, delivery.message.headers["x-stream-offset"]))
    return read


@scenario
async def test_every_reader_of_a_stream_reads_all_of_it_from_where_it_starts(side: Side) -> None:
    async with side.connected() as connection:
        stream = Queue(side.name("stream"), RESULT_STREAM)
        await connection.declare(stream)
        for body in (b"0", b"1"):
            await connection.publish(Message(body), "", stream.name)
        first, again, following, default = Inbox(), Inbox(), Inbox(), Inbox()
        await connection.consume(stream.name, first, offset=StreamStart.FIRST)
        await connection.consume(stream.name, again, offset=StreamStart.FIRST, prefetch=10)
        await connection.consume(stream.name, following, offset=StreamStart.NEXT)
        await connection.consume(stream.name, default)
        await connection.publish(Message(b"2"), "", stream.name)
        everything = [(b"0", 0), (b"1", 1), (b"2", 2)]
        assert await _read(connection, first, 3) == everything
        assert await _read(connection, again, 3) == everything
        assert await _read(connection, following, 1) == [(b"2", 2)]
        assert await _read(connection, default, 1) == [(b"2", 2)]


@scenario
async def test_one_ack_makes_room_for_all_that_was_read_of_a_stream_before_it(side: Side) -> None:
    async with side.connected() as connection:
        stream = Queue(side.name("stream"), RESULT_STREAM)
        await connection.declare(stream)
        bodies = [b"%d" % number for number in range(20)]
        for body in bodies:
            await connection.publish(Message(body), "", stream.name)
        inbox = Inbox()
        read: list[bytes] = []
        await connection.consume(stream.name, inbox, offset=StreamStart.FIRST, prefetch=4)
        while len(read) < len(bodies):
            deliveries = [await inbox.next() for _ in range(4)]
            assert connection.settle(deliveries[-1], Settle.ACK)
            read += [delivery.message.body for delivery in deliveries]
        assert read == bodies


@scenario
async def test_a_stream_can_be_read_from_a_moment_on(side: Side) -> None:
    async with side.connected() as connection:
        stream = Queue(side.name("stream"), RESULT_STREAM)
        await connection.declare(stream)
        await connection.publish(Message(b"old"), "", stream.name)
        moment = int(time.time()) + 2
        await eventually(lambda: _passed(moment))
        await connection.publish(Message(b"new"), "", stream.name)
        assert await _first_from(side, stream, StreamFrom(moment)) == b"new"
        assert await _first_from(side, stream, StreamFrom(moment - 1000)) == b"old"


async def _passed(moment: float) -> bool:
    return time.time() >= moment


async def _first_from(side: Side, stream: Queue, offset: StreamOffset) -> bytes:
    async with side.connected() as connection:
        inbox = Inbox()
        await connection.consume(stream.name, inbox, offset=offset)
        return (await inbox.next()).message.body


@scenario
async def test_a_stream_can_be_read_from_an_offset_on_that_may_not_be_there_yet(side: Side) -> None:
    async with side.connected() as connection:
        stream = Queue(side.name("stream"), RESULT_STREAM)
        await connection.declare(stream)
        # At once, so that RabbitMQ writes several into one chunk, its unit of reading.
        await asyncio.gather(*(connection.publish(Message(b"%d" % number), "", stream.name) for number in range(20)))
        within, beyond = Inbox(), Inbox()
        await connection.consume(stream.name, within, offset=StreamAt(13), prefetch=10)
        assert await _read(connection, within, 7) == [(b"%d" % number, number) for number in range(13, 20)]
        await connection.consume(stream.name, beyond, offset=StreamAt(22), prefetch=10)
        for number in range(20, 24):
            await connection.publish(Message(b"%d" % number), "", stream.name)
        assert await _read(connection, beyond, 2) == [(b"22", 22), (b"23", 23)]


@scenario
async def test_what_is_said_to_workers_reaches_each_of_them_and_what_is_kept_the_stream_as_well(side: Side) -> None:
    names = Names(side.prefix)
    async with side.connected() as connection:
        await connection.declare(*base(names), *hearing(names, "a"), *hearing(names, "b"))
        one, other, stream = Inbox(), Inbox(), Inbox()
        await connection.consume(names.hears("a"), one, no_ack=True)
        await connection.consume(names.hears("b"), other, no_ack=True)
        await connection.consume(names.control, stream, offset=StreamStart.FIRST, prefetch=10)
        for key in ("live.ask", MARK, "kept.say", "reply.me"):
            await connection.publish(Message(key.encode()), names.control, key, mandatory=False)
        for inbox in (one, other):
            assert [(await inbox.next()).message.body for _ in range(2)] == [b"live.ask", b"kept.say"]
        assert [(await stream.next()).message.body for _ in range(2)] == [MARK.encode(), b"kept.say"]


@scenario
async def test_a_result_reaches_the_stream_and_the_reply_queue_of_whoever_waits(side: Side) -> None:
    names = Names(side.prefix)
    async with side.connected() as connection:
        replies = Queue(names.reply("me"), exclusive=True)
        await connection.declare(*base(names), replies, Binding(names.results, replies.name, "me.*"))
        stream_inbox, reply_inbox = Inbox(), Inbox()
        await connection.consume(names.results, stream_inbox, offset=StreamStart.FIRST, prefetch=10)
        await connection.consume(replies.name, reply_inbox, no_ack=True)
        for key in ("me.1", "you.1", "me.2"):
            await connection.publish(Message(key.encode()), names.results, key)
        assert [(await reply_inbox.next()).message.body for _ in range(2)] == [b"me.1", b"me.2"]
        assert [(await stream_inbox.next()).message.body for _ in range(3)] == [b"me.1", b"you.1", b"me.2"]
