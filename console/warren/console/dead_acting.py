"""Replaying and dropping dead letters: a letter is removed only when its job is confirmed in its queue again."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from warren.amqp.seam import ConnectionLost
from warren.console.broker import connected
from warren.console.dead_reading import Held, Reading, Wanted
from warren.console.progress import Advance
from warren.dead_letter import DeadLetter, revived
from warren.errors import BrokerBlocked, BrokerUnavailable, WarrenError
from warren.events import Events
from warren.producer.core import Composer
from warren.producer.link import Link, Session
from warren.producer.publishing import Publisher
from warren.settings import Settings
from warren.topology import Names

_AT_ONCE = 50
"""Letters on their way at a time, when no rate is asked for."""

Key = tuple[str, float | None, int]
Act = Callable[[DeadLetter], Awaitable[None]]


class NotReplayable(WarrenError):
    """A dead letter that is no job."""

    def __init__(self, letter: DeadLetter) -> None:
        super().__init__(f"it is no job ({letter.reason}), so it can only be shown and dropped")


@dataclass(slots=True)
class Tally:
    """What was done to which letters.

    Attributes:
        done: ids, in order; a map's chunk may have several letters under one.
        failed: id and why, of letters that are still there.
        given_up: the failed ones, which come again after a lost connection.
        unremoved: those whose job is safe but which came back: the next time they are only removed. Counted, because letters
            that somebody published by hand may be alike, and each of them is a job.
    """

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    given_up: Counter[Key] = field(default_factory=Counter)
    unremoved: Counter[Key] = field(default_factory=Counter)

    @property
    def acts(self) -> int:
        """How far it got."""
        return len(self.done) + self.unremoved.total()


def key_of(letter: DeadLetter) -> Key:
    """Return what tells a letter from others; one that died again after a replay is another."""
    return letter.id, letter.died_at, letter.replays


@dataclass(frozen=True, slots=True)
class Work:
    """What shall be done: to which letters, to how many at most, how many in a second."""

    wanted: Wanted
    limit: int | None = None
    rate: float | None = None


async def drop(settings: Settings, work: Work, tell: Advance) -> Tally:
    """Remove dead letters for good."""

    async def nothing(_: DeadLetter) -> None:
        return

    return await _act(settings, work, nothing, tell)


async def replay(settings: Settings, work: Work, tell: Advance) -> Tally:
    """Put the jobs of dead letters into their queues again: same id, attempts from the start.

    Raises:
        BrokerUnavailable, BrokerBlocked: what was not replayed by then is still a dead letter.
    """
    async with _publisher(settings) as (publisher, composer):

        async def publish(letter: DeadLetter) -> None:
            now = time.time()
            job = revived(letter, now)
            if job is None:
                raise NotReplayable(letter)
            await publisher.send(composer.again(job, now))

        return await _act(settings, work, publish, tell)


@asynccontextmanager
async def _publisher(settings: Settings) -> AsyncIterator[tuple[Publisher, Composer]]:
    async def no_preparation(_: Session) -> None:
        return

    link = Link(settings, "pika", no_preparation)
    try:
        yield Publisher(link, Events()), Composer(link.names, "", settings.payload_limit)
    finally:
        await link.close()


async def _act(settings: Settings, work: Work, act: Act, tell: Advance) -> Tally:
    """Go on after a lost connection for as long as that gets us further: letters held for long cost a channel its life."""
    tally = Tally()
    while True:
        before = tally.acts
        try:
            async with connected(settings) as connection:
                reading = Reading(connection, Names(settings.namespace).dead)
                await _act_on_all(reading, work, act, tally, tell)
                return tally
        except BrokerUnavailable as error:
            if not isinstance(error.__cause__, ConnectionLost) or tally.acts == before:
                error.add_note(f"{len(tally.done)} dead letters were done before, the others are where they were")
                raise


async def _act_on_all(reading: Reading, work: Work, act: Act, tally: Tally, tell: Advance) -> None:
    pace = _Pace(work.rate)
    async with aclosing(_batches(reading, work, tally)) as batches:
        async for batch in batches:
            await pace.wait()
            ended = await asyncio.gather(
                *(_act_on(reading, held, act, tally) for held in batch), return_exceptions=True
            )
            tell(len(tally.done) + len(tally.failed), reading.present, len(tally.failed))
            for error in ended:
                if error is not None:
                    raise error


async def _batches(reading: Reading, work: Work, tally: Tally) -> AsyncGenerator[list[Held], None]:
    """The letters to act on, as many at a time as may be on their way at a time."""
    at_once, batch = 1 if work.rate else _AT_ONCE, list[Held]()
    known = Counter(tally.given_up)
    async with aclosing(reading.letters(work.wanted)) as letters:
        async for held in letters:
            key = key_of(held.letter)
            if known[key]:
                known[key] -= 1
                continue
            batch.append(held)
            full = work.limit is not None and len(tally.done) + len(tally.failed) + len(batch) >= work.limit
            if full or len(batch) >= at_once:
                yield batch
                batch = []
            if full:
                return
    if batch:
        yield batch


async def _act_on(reading: Reading, held: Held, act: Act, tally: Tally) -> None:
    """The act first, then the letter's end: in between the job may exist twice, but it is never nowhere."""
    letter, key = held.letter, key_of(held.letter)
    if tally.unremoved[key]:
        tally.unremoved[key] -= 1
    else:
        reading.check()
        try:
            await act(letter)
        except (BrokerUnavailable, BrokerBlocked):
            raise
        except WarrenError as error:
            tally.failed.append((letter.id, str(error)))
            tally.given_up[key] += 1
            return
    try:
        reading.remove(held)
    except ConnectionLost:
        tally.unremoved[key] += 1
        raise
    tally.done.append(letter.id)


class _Pace:
    """Lets one through every so often."""

    def __init__(self, rate: float | None) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._due = time.monotonic()

    async def wait(self) -> None:
        now = time.monotonic()
        if self._due > now:
            await asyncio.sleep(self._due - now)
        self._due = max(now, self._due) + self._interval
