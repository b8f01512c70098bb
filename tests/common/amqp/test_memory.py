"""What only the in-memory broker has: threads, alarms and restarts on demand, strict priorities, a clock of its own."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.common.amqp.harness import DEADLINE_SECONDS, Inbox, Side, error_of, loss, scenario

from warren.amqp import memory
from warren.amqp.seam import (
    ChannelRefused,
    ConnectFailed,
    ConnectionLost,
    Depth,
    Message,
    Nacked,
    Settle,
    StreamStart,
)
from warren.topology import Binding, Exchange, Queue


@pytest.fixture
def name() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    memory.reset(name)


@pytest.fixture
def local(name: str) -> Side:
    return Side("memory", f"memory://{name}", "t")


# --- connections -----------------------------------------------------------------------------------------------------


@scenario
async def test_only_memory_urls_are_taken() -> None:
    with pytest.raises(ConnectFailed) as failed:
        await memory.connect("amqp://localhost")
    assert failed.value.permanent


@scenario
async def test_a_url_without_a_name_is_the_default_broker() -> None:
    queue = Queue("only-here")
    connection, other = await memory.connect("memory://"), await memory.connect("memory://default")
    await connection.declare(queue)
    assert await other.exists(queue)
    memory.reset()
    await loss(connection)
    connection = await memory.connect("memory://")
    assert not await connection.exists(queue)
    memory.reset("default")


@scenario
async def test_brokers_of_different_names_know_nothing_of_each_other(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection)
        elsewhere = await memory.connect("memory://elsewhere")
        assert not await elsewhere.exists(queue)
    memory.reset("elsewhere")


@scenario
async def test_a_publisher_may_change_its_headers_afterwards(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection)
        headers: dict[str, object] = {"list": [1]}
        connection.publish(Message(b"", headers=headers), local.name("jobs"), queue.name)
        headers["list"].append(2)  # type: ignore[attr-defined]
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        assert (await inbox.next()).message.headers == {"list": [1]}


# --- threads and loops -----------------------------------------------------------------------------------------------


def test_many_threads_with_loops_of_their_own_share_a_broker_and_lose_nothing(local: Side) -> None:
    sent = {b"%d-%d" % (thread, number) for thread in range(4) for number in range(150)}

    async def produce(thread: int) -> None:
        async with local.connected() as connection:
            await local.queue(connection)
            key = local.name("queue")
            futures = [
                connection.publish(Message(b"%d-%d" % (thread, number)), local.name("jobs"), key)
                for number in range(150)
            ]
            await asyncio.gather(*futures)

    def work(connected: threading.Barrier, received: list[bytes]) -> None:
        async def consume() -> None:
            async with local.connected() as connection:
                queue = await local.queue(connection)
                inbox = Inbox()
                await connection.consume(queue.name, inbox)
                await asyncio.to_thread(connected.wait, DEADLINE_SECONDS)
                while (body := (await inbox.take(connection, 1))[0]) != b"stop":
                    received.append(body)

        asyncio.run(asyncio.wait_for(consume(), DEADLINE_SECONDS))

    received: list[bytes] = []
    connected = threading.Barrier(4)
    with ThreadPoolExecutor() as threads:
        workers = [threads.submit(work, connected, received) for _ in range(3)]
        connected.wait(DEADLINE_SECONDS)
        producers = [threads.submit(asyncio.run, produce(thread)) for thread in range(4)]
        for producer in producers:
            producer.result(DEADLINE_SECONDS)
        asyncio.run(_send_to(local, *[b"stop"] * 3))
        for worker in workers:
            worker.result(DEADLINE_SECONDS)
    assert len(received) == len(sent)
    assert set(received) == sent


async def _send_to(local: Side, *bodies: bytes) -> None:
    async with local.connected() as connection:
        await local.send(connection, await local.queue(connection), *bodies)


def test_a_loop_that_ends_without_closing_its_connection_gives_everything_back(local: Side) -> None:
    async def forgetful() -> None:
        connection = await local.open()
        queue = await local.queue(connection)
        await local.send(connection, queue, b"1", b"2")
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        await inbox.next()

    async def successor() -> None:
        async with local.connected() as connection:
            queue = await local.queue(connection)
            assert await connection.depth(queue.name) == Depth(2, 0)
            inbox = Inbox()
            await connection.consume(queue.name, inbox, prefetch=2)
            assert [(await inbox.next()).redelivered for _ in range(2)] == [True, False]

    asyncio.run(forgetful())
    asyncio.run(successor())


@scenario
async def test_the_thread_that_keeps_time_lives_only_while_something_waits(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection)
        inbox = Inbox()
        waiting = await local.queue(
            connection,
            "waiting",
            x_message_ttl=30,
            x_dead_letter_exchange=local.name("jobs"),
            x_dead_letter_routing_key=queue.name,
        )
        before = _timekeepers()
        await connection.consume(queue.name, inbox)
        await local.send(connection, waiting, b"1")
        (thread,) = _timekeepers() - before
        await inbox.take(connection, 1)
        await asyncio.to_thread(thread.join, DEADLINE_SECONDS)
        assert not thread.is_alive()
        await local.send(connection, waiting, b"2")
        assert await inbox.take(connection, 1) == [b"2"]


@scenario
async def test_forgetting_a_broker_ends_its_thread(name: str, local: Side) -> None:
    connection = await local.open()
    waiting = await local.queue(connection, "waiting", x_message_ttl=3_600_000)
    before = _timekeepers()
    await local.send(connection, waiting, b"1")
    (thread,) = _timekeepers() - before
    memory.reset(name)
    await asyncio.to_thread(thread.join, DEADLINE_SECONDS)
    assert not thread.is_alive()


def _timekeepers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "memory-broker"}


# --- alarms and restarts ---------------------------------------------------------------------------------------------


@scenario
async def test_publishes_wait_in_order_while_the_broker_is_blocked(name: str, local: Side) -> None:
    async with local.connected() as connection, local.connected() as consumer:
        queue = await local.queue(connection)
        inbox = Inbox()
        await consumer.consume(queue.name, inbox, prefetch=3)
        memory.block(name, True)
        assert connection.blocked
        waiting = [connection.publish(Message(body), local.name("jobs"), queue.name) for body in (b"1", b"2")]
        late = await local.open()
        assert late.blocked
        assert await late.depth(queue.name) == Depth(0, 1)
        assert not any(future.done() for future in waiting)
        memory.block(name, False)
        last = connection.publish(Message(b"3"), local.name("jobs"), queue.name)
        await asyncio.gather(*waiting, last)
        assert await inbox.take(consumer, 3) == [b"1", b"2", b"3"]
        assert not connection.blocked
        await late.close()


@pytest.mark.parametrize("end", ["close", "drop"])
@scenario
async def test_what_waits_for_an_alarm_fails_with_the_connection(name: str, local: Side, end: str) -> None:
    connection = await local.open()
    queue = await local.queue(connection)
    memory.block(name, True)
    waiting = connection.publish(Message(b"1"), local.name("jobs"), queue.name)
    if end == "drop":
        memory.drop(name)
    else:
        await connection.close()
    assert isinstance(await error_of(waiting), ConnectionLost)


@scenario
async def test_a_restart_loses_connections_and_exclusive_queues_and_brings_back_what_was_held(
    name: str, local: Side
) -> None:
    connection, other = await local.open(), await local.open()
    queue = await local.queue(connection)
    stream, replies = Queue(local.name("stream"), {"x-queue-type": "stream"}), Queue("replies", exclusive=True)
    await connection.declare(stream, replies)
    await connection.publish(Message(b"kept"), "", stream.name)
    await local.send(connection, queue, b"1", b"2")
    inbox = Inbox()
    await connection.consume(queue.name, inbox)
    held = await inbox.next()
    memory.drop(name)
    assert "CONNECTION_FORCED" in await loss(connection)
    await loss(other)
    assert not connection.settle(held, Settle.ACK)
    async with local.connected() as connection:
        assert not await connection.exists(replies)
        inbox, stream_inbox = Inbox(), Inbox()
        await connection.consume(queue.name, inbox, prefetch=2)
        assert [(await inbox.next()).redelivered for _ in range(2)] == [True, False]
        await connection.consume(stream.name, stream_inbox, offset=StreamStart.FIRST)
        assert (await stream_inbox.next()).message.body == b"kept"


@scenario
async def test_a_delivery_on_its_way_when_the_connection_closes_is_not_handed_over(local: Side) -> None:
    connection = await local.open()
    queue = await local.queue(connection)
    inbox = Inbox()
    await connection.consume(queue.name, inbox)
    connection.publish(Message(b"1"), local.name("jobs"), queue.name)
    await connection.close()
    assert not len(inbox)
    async with local.connected() as other:
        assert await other.depth(queue.name) == Depth(1, 0)


# --- what RabbitMQ would refuse --------------------------------------------------------------------------------------


@scenario
async def test_settling_twice_loses_the_connection(local: Side) -> None:
    connection = await local.open()
    queue = await local.queue(connection)
    await local.send(connection, queue, b"1")
    inbox = Inbox()
    await connection.consume(queue.name, inbox)
    delivery = await inbox.next()
    assert connection.settle(delivery, Settle.ACK)
    connection.settle(delivery, Settle.ACK)
    assert "unknown delivery tag" in await loss(connection)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (Exchange("", "direct"), 403),
        (Exchange("e", "x-random"), 503),
        (Queue("q", {"x-queue-type": "quorum"}, exclusive=True), 406),
        (Queue("q", {"x-queue-type": "unheard-of"}), 406),
        (Binding("", "q", "key"), 404),
    ],
)
@scenario
async def test_what_cannot_be_declared_is_refused(local: Side, item: Exchange | Queue | Binding, code: int) -> None:
    async with local.connected() as connection:
        with pytest.raises(ChannelRefused) as refused:
            await connection.declare(item)
        assert refused.value.code == code


@pytest.mark.parametrize(("prefetch", "no_ack", "code"), [(0, False, 406), (1, True, 540)])
@scenario
async def test_a_stream_wants_a_prefetch_and_acknowledgements(
    local: Side, prefetch: int, no_ack: bool, code: int
) -> None:
    connection = await local.open()
    await connection.declare(Queue("stream", {"x-queue-type": "stream"}))
    with pytest.raises(ChannelRefused) as refused:
        await connection.consume("stream", Inbox(), prefetch=prefetch, no_ack=no_ack)
    assert refused.value.code == code
    await connection.close()


@scenario
async def test_a_full_queue_that_rejects_refuses_the_message(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection, x_max_length=2, x_overflow="reject-publish")
        await local.send(connection, queue, b"1", b"2")
        refused = connection.publish(Message(b"3"), local.name("jobs"), queue.name)
        assert isinstance(await error_of(refused), Nacked)
        assert await connection.depth(queue.name) == Depth(2, 0)


# --- order -----------------------------------------------------------------------------------------------------------


@scenario
async def test_priorities_are_strict_and_an_unset_one_counts_as_four(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection)
        for priority in (0, None, 9, 4, 5, 200, 3, 9):
            message = Message(repr(priority).encode(), priority=priority)
            await connection.publish(message, local.name("jobs"), queue.name)
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        assert await inbox.take(connection, 8) == [b"200", b"9", b"9", b"5", b"None", b"4", b"3", b"0"]


@scenario
async def test_a_returned_message_goes_before_one_of_higher_priority(local: Side) -> None:
    async with local.connected() as connection:
        queue = await local.queue(connection)
        await connection.publish(Message(b"low", priority=1), local.name("jobs"), queue.name)
        inbox = Inbox()
        await connection.consume(queue.name, inbox)
        held = await inbox.next()
        await connection.publish(Message(b"high", priority=9), local.name("jobs"), queue.name)
        connection.settle(held, Settle.GIVE_BACK)
        assert await inbox.take(connection, 2) == [b"low", b"high"]
