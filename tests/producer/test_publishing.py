"""What is said of a publish whose fate is unknown."""

import asyncio
from typing import Any

import pytest
from tests.common.amqp.harness import scenario
from tests.producer.hands import double, settings

from warren.amqp.seam import ConnectionLost
from warren.errors import BrokerUnavailable
from warren.events import Events
from warren.producer.core import Composer
from warren.producer.link import Session, TryAgain
from warren.producer.publishing import Publisher
from warren.topology import Names


class LostInFlight:
    """A connection that takes a publish and is lost before the confirm."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = False

    def publish(self, *_: object) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(ConnectionLost("cut"))
        return future


class NeverAgain:
    """A link that has one session and gets no other."""

    def __init__(self) -> None:
        connection: Any = LostInFlight()
        self.settings = settings("", publish_timeout=0.1)
        self.names = Names()
        self.session = Session(connection, {"exchanges", "queue 'default'"})
        self.last_failure: Exception | None = None

    async def open(self) -> Session:
        raise TryAgain


@pytest.mark.parametrize("many", [False, True])
def test_a_job_that_was_sent_before_the_loss_may_still_arrive(many: bool) -> None:
    @scenario
    async def publish() -> None:
        link: Any = NeverAgain()
        publisher = Publisher(link, Events())
        outgoing = Composer(link.names, "me", 1000).call(double.call(1), 0.0)
        with pytest.raises(BrokerUnavailable, match="it may still arrive") as unavailable:
            await (publisher.send_many([outgoing]) if many else publisher.send(outgoing))
        assert unavailable.value.unknown

    publish()
