"""A command of the command line that asks workers something."""

import asyncio
from collections.abc import Callable, Sequence

from warren.asking import Asker
from warren.console.broker import connected
from warren.control import Command, Reply
from warren.errors import BrokerUnavailable
from warren.settings import Settings
from warren.topology import Names


async def ask(
    settings: Settings,
    command: Command,
    seconds: float,
    *,
    worker: str = "",
    enough: Callable[[Sequence[Reply]], bool] = lambda _: False,
) -> list[Reply]:
    """Say something to all workers, or to one by its name, and return what they answered in time; see `Asker.ask`.

    Raises:
        BrokerUnavailable: none could be reached, or it did not take the command in time.
        BrokerRefused: the broker said no, for want of a permission or of the control exchange.
    """
    limit = settings.publish_timeout + seconds
    async with connected(settings) as connection:
        try:
            async with asyncio.timeout(limit):
                asker = await Asker.open(connection, Names(settings.namespace))
                return await asker.ask(command, seconds, worker=worker, enough=enough)
        except TimeoutError as error:
            raise BrokerUnavailable(f"the broker did not take the command within {limit:g} s") from error
