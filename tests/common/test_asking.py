"""What is said to all is published until it is taken, whoever disconnects meanwhile."""

import asyncio
from typing import Any, cast

import pytest

from warren.amqp.seam import ChannelRefused, Message, Nacked
from warren.asking import publish_until_taken


class Broker:
    """Answers one publish after the other as it is told."""

    def __init__(self, *answers: Exception | None) -> None:
        self.published: list[tuple[str, str]] = []
        self._answers = list(answers)

    async def publish(self, _: Message, exchange: str, key: str, *, mandatory: bool) -> None:
        assert not mandatory
        self.published.append((exchange, key))
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer


def publish(broker: Broker) -> None:
    asyncio.run(publish_until_taken(cast("Any", broker), Message(b""), "t.control", "kept.pause"))


def test_what_is_refused_because_one_of_many_queues_went_away_is_published_again() -> None:
    broker = Broker(Nacked("no"), Nacked("no"), None)
    publish(broker)
    assert broker.published == [("t.control", "kept.pause")] * 3


def test_what_is_refused_for_good_is_an_error() -> None:
    broker = Broker(ChannelRefused(403, "ACCESS_REFUSED"))
    with pytest.raises(ChannelRefused):
        publish(broker)
