"""What happens to jobs here, told to whoever keeps history: coalesced, off the jobs' path, and only while somebody keeps it.

Whether anybody does is found out by a message that must be routed and says nothing, every few seconds. Until one was taken
nothing is kept but the ends that nobody else tells, for as long: whoever begins to keep history then misses none. What is told
by a result is not told again: of a short job nothing is.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypedDict

from warren.amqp.seam import AmqpError, ChannelRefused, Connection, Returned
from warren.clock import Clock
from warren.events import Event, JobEnded, JobInterrupted, JobLost, JobProgress, JobRefused, JobStarted
from warren.telling import AnyNews, Began, Finished, Interrupted, Lost, Reached, Refused, to_message
from warren.topology import Exchange
from warren.worker.outlet import CANNOT_PUBLISH, Outlet

_MOMENT_SECONDS = 0.1
_ASK_SECONDS = 3.0
_MOST_AT_ONCE = 500
_MOST_KEPT = 20_000
"""While the broker is away; the oldest are forgotten first."""
_LAST_WORDS_SECONDS = 1.0
_KEY = "jobs"
_DETAIL = 1_000
_Job = JobStarted | JobProgress | JobEnded | JobRefused | JobInterrupted | JobLost


class _Said(TypedDict):
    id: str
    task: str
    queue: str
    attempt: int
    replays: int
    at: float


_Kept = tuple[Callable[[Any, _Said], AnyNews], _Job, float]
"""How news are made of an event, when they are told; the event, and when it was."""


class Bulletins:
    """A subscriber to events. Only touched from the loop.

    Args:
        worker: its name.
        outlet: whose connection is used.
        exchange: to which it is published.
        clock: by which what happened is dated.
    """

    def __init__(self, worker: str, outlet: Outlet, exchange: Exchange, clock: Clock) -> None:
        self._worker = worker
        self._outlet = outlet
        self._exchange = exchange
        self._clock = clock
        self._kept: dict[tuple[str, str, int, int], _Kept] = {}
        self._number = 0
        self._heard = True
        """Whether somebody keeps history; until it is known, as if."""
        self._full = asyncio.Event()
        self._known: Connection | None = None
        """The connection on which the exchange was found."""
        self._denied = False
        self._failures = 0
        """Times in a row that it could not be told."""
        self._ends: dict[type, Callable[[Any], None]] = {JobEnded: self._ended, JobRefused: self._refused}
        self._all = self._ends | {
            JobStarted: self._started,
            JobProgress: self._progress,
            JobInterrupted: self._interrupted,
            JobLost: self._lost,
        }

    def __call__(self, event: Event) -> None:
        if (keep := (self._all if self._heard else self._ends).get(type(event))) is not None:
            keep(event)

    async def run(self) -> None:
        """Tell what happened, until cancelled."""
        await self._tell()
        while True:
            self._full.clear()
            await asyncio.sleep(self._pause())
            with suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT_SECONDS if self._heard else _ASK_SECONDS):
                    await self._full.wait()
            if self._kept or not self._heard:
                await self._tell()

    def _pause(self) -> float:
        """Return how long nothing is tried: while the broker is away, ever longer, and not all workers at the same moment."""
        if not self._failures:
            return 0.0
        longest: float = min(_MOMENT_SECONDS * 2 ** min(self._failures, 10), _ASK_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    async def end(self) -> None:
        """Tell the last, if it can still be told."""
        if self._heard and self._kept and self._known is not None and not self._known.lost.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    await self._tell()

    async def _tell(self) -> None:
        """Publish what is kept, and keep it on if it is not taken for now. Nothing is raised: it is tried again."""
        try:
            connection = await self._outlet.open()
            if self._denied or not await self._is_there(connection):
                self._forget()
                return
            told = dict(list(self._kept.items())[:_MOST_AT_ONCE]) if self._heard else {}
            message = to_message(self._worker, [_news(each) for each in told.values()], self._clock())
            confirm = connection.publish(message, self._exchange.name, _KEY, mandatory=True)
            confirm.add_done_callback(_look_at_error)
            await asyncio.wait([confirm])
            confirm.result()
        except Returned:
            self._forget()
        except ChannelRefused as refused:
            self._denied = refused.permanent and f"'{self._exchange.name}'" in refused.text
        except CANNOT_PUBLISH:
            self._failures += 1
        else:
            self._failures = 0
            self._heard = True
            for key, each in told.items():
                if self._kept.get(key) is each:
                    del self._kept[key]

    def _forget(self) -> None:
        """Nobody keeps history: keep nothing until somebody does."""
        self._heard = False
        self._kept.clear()

    async def _is_there(self, connection: Connection) -> bool:
        """Whether the exchange is there: publishing to one that is not costs a connection."""
        if connection is not self._known:
            with suppress(AmqpError):
                if await connection.exists(self._exchange):
                    self._known = connection
        return connection is self._known

    def _keep(self, kind: str, event: _Job, make: Callable[[Any, _Said], AnyNews]) -> None:
        self._kept[(kind, event.job_id, event.replays, event.attempt)] = make, event, self._clock()
        if len(self._kept) >= _MOST_AT_ONCE and self._heard:
            self._full.set()
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _started(self, event: JobStarted) -> None:
        self._keep("started", event, _began)

    def _progress(self, event: JobProgress) -> None:
        self._keep("progress", event, _reached)  # of several in one moment the last is kept

    def _ended(self, event: JobEnded) -> None:
        if self._kept:
            self._kept.pop(("started", event.job_id, event.replays, event.attempt), None)
            self._kept.pop(("progress", event.job_id, event.replays, event.attempt), None)
        if event.delay is not None or not event.has_result:
            self._keep("ended", event, _finished)

    def _refused(self, event: JobRefused) -> None:
        if not event.has_result:
            self._keep("ended", event, _refused)

    def _interrupted(self, event: JobInterrupted) -> None:
        if self._kept.pop(("started", event.job_id, event.replays, event.attempt), None) is None:
            self._number += 1
            self._keep(f"interrupted {self._number}", event, _gave_back)
        # Else it was taken back from a process that, as it turned out, had not begun it.

    def _lost(self, event: JobLost) -> None:
        self._number += 1
        self._keep(f"lost {self._number}", event, _lost)


def _news(kept: _Kept) -> AnyNews:
    make, event, at = kept
    said: _Said = {
        "id": event.job_id,
        "task": event.task,
        "queue": event.queue,
        "attempt": event.attempt,
        "replays": event.replays,
        "at": at,
    }
    return make(event, said)


def _began(_: JobStarted, said: _Said) -> AnyNews:
    return Began(**said)


def _reached(event: JobProgress, said: _Said) -> AnyNews:
    return Reached(**said, done=event.done, total=event.total)


def _finished(event: JobEnded, said: _Said) -> AnyNews:
    outcome, seconds, detail = event.outcome, event.seconds, event.detail[:_DETAIL]
    return Finished(**said, outcome=outcome, seconds=seconds, detail=detail, retry_in=event.delay)


def _refused(event: JobRefused, said: _Said) -> AnyNews:
    return Refused(**said, outcome=event.outcome, reason=event.reason, detail=event.detail[:_DETAIL])


def _gave_back(_: JobInterrupted, said: _Said) -> AnyNews:
    return Interrupted(**said)


def _lost(event: JobLost, said: _Said) -> AnyNews:
    return Lost(**said, crashes=event.crashes)


def _look_at_error(confirm: "asyncio.Future[None]") -> None:
    """Nobody may be left to ask for it."""
    if not confirm.cancelled():
        confirm.exception()
