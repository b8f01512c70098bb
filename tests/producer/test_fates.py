"""Jobs that travel together, of which not all are confirmed: each is told, and counted, by its own fate."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
from tests.common.amqp.harness import scenario
from tests.producer.hands import Hands, double, settings, silent
from tests.producer.test_threads import ready
from tests.support import Broker

from warren.amqp.seam import AmqpError, Confirm, Late, Letter, Nacked, SomeFailed
from warren.errors import BrokerUnavailable, PublishRefused
from warren.events import Event, Events, JobEnqueued, JobsEnqueued
from warren.producer import AsyncProducer, Producer
from warren.producer.core import Composer, Outgoing
from warren.producer.from_thread import ThreadPublisher
from warren.producer.link import Session
from warren.producer.publishing import Publisher
from warren.topology import Names


class Some:
    """A connection that confirms every second publish, and says nothing of the others."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = False
        self._count = 0

    def publish(self, *_: object) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        if self._count % 2:
            future.set_result(None)
        return future


class There:
    """A connection that is never lost."""

    blocked = False

    @property
    def lost(self) -> "There":
        return self

    def done(self) -> bool:
        return False


class Together:
    """Tells each thread the fate that the test says, or nothing before it gives up."""

    def __init__(self, told: AmqpError | None, known: AmqpError | None = None) -> None:
        self.told, self.known = told, known

    def publish_from_thread(self, _: Sequence[Letter], __: str, ___: str, confirm: Confirm) -> bool:
        if self.told is not None:
            confirm.set_exception(self.told)
        return True

    def give_up(self, _: Confirm) -> AmqpError | None:
        return self.known

    def listen_from_thread(self, confirm: Confirm, until: float) -> None: ...


class Link:
    """A link that has one session with all declared."""

    def __init__(self, connection: Any, together: Any = None) -> None:
        self.settings = settings("", publish_timeout=0.1)
        self.names = Names()
        self.session = Session(connection, {"exchanges", "queue 'default'"})
        self.session.together = together
        self.last_failure: Exception | None = None


class Counted:
    """Counts the jobs that events say are enqueued."""

    def __init__(self) -> None:
        self.jobs = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobsEnqueued):
            self.jobs += event.count
        elif isinstance(event, JobEnqueued):
            self.jobs += 1


def outgoing(count: int) -> list[Outgoing]:
    composer = Composer(Names(), "me", 1000)
    return [composer.call(double.call(number), 0.0) for number in range(count)]


def publisher(link: Any) -> tuple[Publisher, Counted]:
    counted = Counted()
    return Publisher(link, Events(counted)), counted


def on_loop(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@scenario
async def test_of_gathered_jobs_those_confirmed_before_the_deadline_are_enqueued() -> None:
    publishing, counted = publisher(Link(Some()))
    fates = await asyncio.gather(*map(publishing.send, outgoing(9)), return_exceptions=True)
    assert [type(fate) for fate in fates] == [type(None), BrokerUnavailable] * 4 + [type(None)]
    assert {fate.unknown for fate in fates if isinstance(fate, BrokerUnavailable)} == {True}
    assert counted.jobs == 5


@scenario
async def test_of_many_jobs_those_confirmed_before_the_deadline_are_counted() -> None:
    publishing, counted = publisher(Link(Some()))
    jobs = outgoing(9)
    with pytest.raises(BrokerUnavailable, match=jobs[1].id) as unavailable:
        await publishing.send_many(jobs)
    assert unavailable.value.__notes__ == ["the first 0 jobs are enqueued; of the others some may be"]
    assert counted.jobs == 5


def send_from_thread(together: Together, error: type[Exception], is_of: Callable[[list[Outgoing]], Outgoing]) -> int:
    """Send five jobs from this thread; return how many are counted."""

    publishing, counted = publisher(Link(There(), together))
    jobs = outgoing(5)
    with pytest.raises(error, match=is_of(jobs).id):
        ThreadPublisher(publishing).send_many(jobs, on_loop)
    return counted.jobs


def test_in_a_thread_those_confirmed_before_the_deadline_are_counted() -> None:
    known = SomeFailed({2: Late(), 4: Late()})
    assert send_from_thread(Together(None, known), BrokerUnavailable, lambda jobs: jobs[2]) == 3


def test_jobs_confirmed_beside_a_refused_one_are_counted() -> None:
    told = SomeFailed({1: Nacked("full")})
    assert send_from_thread(Together(told), PublishRefused, lambda jobs: jobs[1]) == 4


def numbers() -> Iterator[int]:
    yield from range(60)
    raise LookupError("no more")


def test_what_came_before_a_call_that_fails_is_sent(memory_broker: str) -> None:
    with Hands(memory_broker) as hands, Producer(settings(memory_broker)) as producer:
        with pytest.raises(LookupError, match="no more"):
            producer.enqueue_many(double.call(number) for number in numbers())
        assert len(hands.took(60)) == 60
        with pytest.raises(LookupError, match="no more"):
            producer.map(double, numbers(), chunk=7)
        assert len(hands.took(68)) == 68


@scenario
async def test_on_a_loop_too_what_came_before_a_call_that_fails_is_sent(memory_broker: str) -> None:
    with Hands(memory_broker) as hands:
        async with AsyncProducer(settings(memory_broker)) as producer:
            with pytest.raises(LookupError, match="no more"):
                await producer.enqueue_many(double.call(number) for number in numbers())
            with pytest.raises(LookupError, match="no more"):
                await producer.map(double, numbers(), chunk=7)
        assert len(hands.took(68)) == 68


def test_what_a_thread_sends_before_a_call_that_fails_is_confirmed(broker: Broker, namespace: str) -> None:
    with Producer(url=broker.url, namespace=namespace) as producer:
        producer.enqueue(silent, "first")
        with pytest.raises(LookupError, match="no more"):
            producer.enqueue_many(silent.call(str(number)) for number in numbers())
        ready(broker, namespace, 61)
