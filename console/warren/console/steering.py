"""Telling workers what to do, and knowing who should have answered."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from warren.amqp.seam import ChannelRefused
from warren.asking import Asker
from warren.console import fleet_reading
from warren.console.broker import connected
from warren.console.fleet import Member
from warren.control import Reply
from warren.errors import BrokerUnavailable
from warren.settings import Settings
from warren.steering import Steer
from warren.topology import Names

SINCE_SECONDS = 60.0
KNOWN_SECONDS, _UNKNOWN_SECONDS = 5.0, 1.0
"""To wait for the answers of those that are known to work, and of those that nobody has heard of."""
_MISSING = 404


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back.

    Attributes:
        members: all workers that said something lately, for whoever looks for one.
        missing: of those that should have answered, the ones that did not.
    """

    replies: tuple[Reply, ...]
    members: tuple[Member, ...]
    missing: tuple[Member, ...]


async def steer(settings: Settings, command: Steer, name: str) -> Answers:
    """Tell one worker, or with an empty name all, and wait until all of them that work have answered.

    Raises:
        BrokerUnavailable, BrokerBlocked, BrokerRefused: they cannot be told.
    """
    names, limit = Names(settings.namespace), settings.publish_timeout
    async with connected(settings) as connection:
        fleet = await fleet_reading.survey(connection, names, SINCE_SECONDS, limit)
        members = fleet.members(time.time())
        meant = [member for member in members if not name or member.status.name == name]
        working = sum(member.works for member in meant)

        def enough(replies: Sequence[Reply]) -> bool:
            return 0 < working <= len(replies)

        seconds = KNOWN_SECONDS if working else _UNKNOWN_SECONDS
        try:
            async with asyncio.timeout(limit + seconds):
                asker = await Asker.open(connection, names)
                replies = await asker.ask(command, seconds, worker=name, enough=enough)
        except ChannelRefused as error:
            if error.code != _MISSING:
                raise
            replies = []  # no worker has ever been here, so there is nothing to speak over
        except TimeoutError as error:
            raise BrokerUnavailable(f"the broker did not take the command within {limit:g} s") from error
    return Answers(tuple(replies), tuple(members), missing(meant, replies))


def missing(meant: Sequence[Member], replies: Sequence[Reply]) -> tuple[Member, ...]:
    """Return those that did not answer, but for workers that have stopped; of one name as many as answers are missing."""
    answered = [reply.worker for reply in replies]
    left = []
    # Those that still speak are the likelier to have answered.
    for member in sorted(meant, key=lambda member: not member.works):
        if member.status.name in answered:
            answered.remove(member.status.name)
        elif member.works or member.silent:
            left.append(member)
    return tuple(left)
