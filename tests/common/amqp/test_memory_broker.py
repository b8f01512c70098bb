"""The in-memory broker as a state machine: no loop, no thread, and the time is what the test says it is."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.amqp.memory_broker import Broker
from warren.amqp.seam import Delivery, Message, Settle, StreamFrom
from warren.delay import route, ticks
from warren.topology import DELAY_UNIT_MS, Arguments, Binding, Exchange, Names, Queue, everything

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Client:
    """A session that keeps what it is given."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.broker = Broker(clock)
        self.ends: list[str] = []
        self.session = self.broker.open(self.ends.append)
        self.inbox: list[Delivery] = []

    def declare(self, *items: Exchange | Queue | Binding) -> None:
        for item in items:
            self.broker.declare(self.session, item)

    def publish(self, message: Message, exchange: str, key: str) -> None:
        self.broker.publish(self.session, message, exchange, key, mandatory=True)

    def consume(self, queue: str, prefetch: int = 0, offset: StreamFrom | None = None) -> None:
        self.broker.consume(self.session, queue, self.inbox.append, prefetch=prefetch, no_ack=False, offset=offset)

    def settle(self, how: Settle) -> bool:
        return self.broker.settle(self.session, self.inbox.pop(0), how)

    def wait(self, until: float = math.inf) -> None:
        """Let the time jump from event to event."""
        while (due := self.broker.flow.next_due) <= until and due < math.inf:
            self.clock.now = due
            self.broker.flow.advance()
        if until < math.inf:
            self.clock.now = until

    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.inbox]


@pytest.fixture
def client() -> Client:
    return Client(Clock())


def deaths(delivery: Delivery) -> list[dict[str, object]]:
    history = delivery.message.headers["x-death"]
    assert isinstance(history, list)
    return history


def waiting_queue(**arguments: str | int) -> tuple[Exchange | Queue | Binding, ...]:
    """A queue `waiting` from which the dead go to `dead`."""
    named: Arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
    quorum: Arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": "dlx"}
    return (
        Exchange("dlx", "fanout"),
        Queue("dead", {"x-queue-type": "quorum"}),
        Binding("dlx", "dead", ""),
        Queue("waiting", {**quorum, **named}),
    )


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.floats(0, 120), st.floats(0, 366 * 24 * 3600)))
def test_any_delay_up_to_a_year_ends_in_its_time_and_only_once(seconds: float) -> None:
    client, names = Client(Clock()), Names("t")
    client.declare(*everything(names, ("q", "a.q")))
    client.consume(names.queue("q"))
    client.publish(Message(b"job"), *route(names, "q", seconds))
    client.wait()
    assert client.bodies() == [b"job"]
    units = ticks(seconds)
    assert client.clock.now - START == pytest.approx(units * DELAY_UNIT_MS / 1000)
    assert len(deaths(client.inbox[0])) == units.bit_count()


def test_a_message_behind_one_with_more_time_waits_for_it(client: Client) -> None:
    client.declare(*waiting_queue())
    client.consume("dead")
    client.publish(Message(b"long", expiration=2500), "", "waiting")
    client.publish(Message(b"short", expiration=200), "", "waiting")
    client.publish(Message(b"urgent", expiration=300, priority=9), "", "waiting")
    client.wait(START + 1)
    assert client.bodies() == [b"urgent"]
    client.wait(START + 3)
    assert client.bodies() == [b"urgent", b"long", b"short"]


def test_an_expired_message_bared_by_a_delivery_is_not_delivered(client: Client) -> None:
    client.declare(*waiting_queue())
    client.publish(Message(b"long", expiration=2500), "", "waiting")
    client.publish(Message(b"short", expiration=200), "", "waiting")
    client.wait(START + 1)
    client.consume("waiting")
    assert client.bodies() == [b"long"]
    client.consume("dead")
    assert client.bodies() == [b"long", b"short"]


def test_the_shorter_of_both_times_to_live_counts_and_the_original_is_told(client: Client) -> None:
    client.declare(*waiting_queue(x_message_ttl=1000))
    client.consume("dead")
    client.publish(Message(b"short", expiration=200), "", "waiting")
    client.wait(START + 0.5)
    (delivery,) = client.inbox
    (death,) = deaths(delivery)
    assert death["original-expiration"] == "200"
    assert death["routing-keys"] == ["waiting"]
    assert delivery.message.expiration is None


def test_a_delivered_message_does_not_expire_before_it_comes_back(client: Client) -> None:
    client.declare(*waiting_queue(x_message_ttl=200))
    client.publish(Message(b"1"), "", "waiting")
    client.consume("waiting")
    client.wait(START + 1)
    client.consume("dead")
    assert client.bodies() == [b"1"]
    assert client.settle(Settle.GIVE_BACK)
    assert [delivery.queue for delivery in client.inbox] == ["dead"]


def test_giving_back_is_free_and_returning_is_charged(client: Client) -> None:
    client.declare(*waiting_queue(x_delivery_limit=1))
    client.publish(Message(b"1"), "", "waiting")
    client.consume("waiting")
    client.consume("dead")
    for _ in range(10):
        client.settle(Settle.GIVE_BACK)
    assert "x-delivery-count" not in client.inbox[0].message.headers
    client.settle(Settle.RETURN)
    assert client.inbox[0].message.headers["x-delivery-count"] == 1
    client.settle(Settle.RETURN)
    assert [delivery.queue for delivery in client.inbox] == ["dead"]


def test_the_loss_of_a_connection_is_charged(client: Client) -> None:
    client.declare(*waiting_queue(x_delivery_limit=0))
    client.publish(Message(b"1"), "", "waiting")
    client.consume("waiting")
    client.broker.end(client.session, "killed")
    client.session = client.broker.open(client.ends.append)
    client.inbox.clear()
    client.consume("dead")
    assert client.bodies() == [b"1"]
    assert client.ends == ["killed"]


def test_dying_again_in_the_same_queue_raises_the_count_of_that_death(client: Client) -> None:
    client.declare(*waiting_queue(x_message_ttl=100))
    client.consume("dead")
    client.publish(Message(b"1"), "", "waiting")
    client.wait(START + 1)
    client.publish(client.inbox[0].message, "", "waiting")
    client.wait(START + 2)
    (death,) = deaths(client.inbox[1])
    assert (death["count"], death["reason"]) == (2, "expired")


def test_a_dead_letter_with_nowhere_to_go_is_dropped(client: Client) -> None:
    client.declare(Queue("waiting", {"x-message-ttl": 100, "x-dead-letter-exchange": "no-such"}))
    client.publish(Message(b"1"), "", "waiting")
    client.wait()
    depth = client.broker.depth(client.session, "waiting")
    assert depth is not None
    assert depth.ready == 0


def test_a_stream_read_from_a_moment_starts_with_the_first_message_since(client: Client) -> None:
    client.declare(Queue("stream", {"x-queue-type": "stream"}))
    for second in range(5):
        client.clock.now = START + second
        client.publish(Message(b"%d" % second), "", "stream")
    client.consume("stream", prefetch=2, offset=StreamFrom(int(START) + 2))
    assert client.bodies() == [b"2", b"3"]
    client.settle(Settle.RETURN)
    assert client.bodies() == [b"3", b"4"]
