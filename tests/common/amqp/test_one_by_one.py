"""Publishing together on a connection that only knows single publishes."""

import asyncio
from typing import Any

import pytest
from tests.common.amqp.harness import error_of, scenario

from warren.amqp.one_by_one import give_up, publish_one_by_one
from warren.amqp.seam import ConnectionLost, Late, Message, Nacked, SomeFailed


class Wire:
    """Takes publishes and answers none."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []

    def publish(self, *_: object) -> "asyncio.Future[None]":
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


def publish(wire: Any, count: int) -> "asyncio.Future[None]":
    return publish_one_by_one(wire, [Message(b"")] * count, "", "")


@scenario
async def test_whatever_one_fails_with_it_is_not_confirmed() -> None:
    wire = Wire()
    together = publish(wire, 3)
    wire.sent[0].set_result(None)
    wire.sent[1].set_exception(ValueError("of the library"))
    wire.sent[2].set_exception(Nacked("full"))
    error = await error_of(together)
    assert isinstance(error, SomeFailed)
    assert {place: type(why) for place, why in error.errors.items()} == {1: ConnectionLost, 2: Nacked}


@scenario
async def test_what_is_cancelled_is_cancelled_for_each() -> None:
    wire = Wire()
    together = publish(wire, 2)
    wire.sent[0].set_result(None)
    together.cancel()
    await asyncio.sleep(0)
    assert wire.sent[1].cancelled()


@scenario
async def test_whoever_gives_up_hears_which_were_answered() -> None:
    wire = Wire()
    together = publish(wire, 3)
    wire.sent[0].set_result(None)
    wire.sent[1].set_exception(Nacked("full"))
    await asyncio.sleep(0)
    together.cancel()
    known = give_up(together)
    assert isinstance(known, SomeFailed)
    assert {place: type(why) for place, why in known.errors.items()} == {1: Nacked, 2: Late}
    assert isinstance(give_up(publish(wire, 1)), Late)
    with pytest.raises(asyncio.CancelledError):
        await together
