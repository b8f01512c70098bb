"""Saying something to whoever conducts workflows, and seeing in the store whether it was heard."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from warren.console.broker import quiet_libraries
from warren.producer.link import Link, Session
from warren.producer.requests import Requests
from warren.settings import Settings
from warren.workflow.messages import Request

if TYPE_CHECKING:
    from warren.store.workflows import Stored

_LOOK_SECONDS = 0.1


def say(settings: Settings, requests: Sequence[Request]) -> None:
    """Publish requests; the broker keeps them when this returns.

    Raises:
        PublishError, TopologyMismatch: they may not be there.
    """
    quiet_libraries()
    asyncio.run(_say(settings, requests))


async def _say(settings: Settings, requests: Sequence[Request]) -> None:
    async def no_preparation(_: Session) -> None:
        return

    link = Link(settings, "pika", no_preparation)
    try:
        for request in requests:
            await Requests(link).send(request)
    finally:
        await link.close()


def wait_for_change(look: Callable[[], "Stored"], before: "Stored", seconds: float) -> "Stored | None":
    """Return a workflow as it is after something was heard of it; None when that takes longer."""
    deadline = time.monotonic() + seconds
    while (now := look()).changed_at == before.changed_at:
        if time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return now
