"""What happens to jobs here, told to whoever keeps history: coalesced, off the jobs' path, and only while somebody keeps it.

Whether anybody does is found out by a message that must be routed, every few seconds. Until one was taken nothing is kept but
the ends that nobody else tells, for as long: whoever begins to keep history then misses none. What is told by a result is not
told again: of a short job nothing is.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypedDict

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


class _Said(TypedDict):
    id: str
    task: str
    queue: str
    attempt: int
    replays: int
    at: float


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
        self._kept: dict[tuple[str, str, int, int], AnyNews] = {}
        self._number = 0
        self._heard = True
        """Whether somebody keeps history; until it is known, as if."""
        self._full = asyncio.Event()
        self._known: Connection | None = None
        """The connection on which the exchange was found."""
        self._denied = False
        self._ends: dict[type, Callable[[Event], None]] = {JobEnded: self._ended, JobRefused: self._refused}
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
            with suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT_SECONDS if self._heard else _ASK_SECONDS):
                    await self._full.wait()
            if self._kept or not self._heard:
                await self._tell()

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
            told = dict(list(self._kept.items())[:_MOST_AT_ONCE])
            message = to_message(self._worker, tuple(told.values()), self._clock())
            confirm = connection.publish(message, self._exchange.name, _KEY, mandatory=True)
            confirm.add_done_callback(_look_at_error)
            await asyncio.wait([confirm])
            confirm.result()
        except Returned:
            self._forget()
        except ChannelRefused as refused:
            self._denied = refused.permanent and f"'{self._exchange.name}'" in refused.text
        except CANNOT_PUBLISH:
            pass
        else:
            self._heard = True
            for key, news in told.items():
                if self._kept.get(key) is news:
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

    def _keep(self, kind: str, news: AnyNews) -> None:
        self._kept[(kind, news.id, news.replays, news.attempt)] = news
        if len(self._kept) >= _MOST_AT_ONCE:
            self._full.set()
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _started(self, event: Event) -> None:
        assert isinstance(event, JobStarted)
        self._keep("started", Began(**self._said(event)))

    def _progress(self, event: Event) -> None:
        assert isinstance(event, JobProgress)
        # Of several in one moment the last is kept.
        self._keep("progress", Reached(**self._said(event), done=event.done, total=event.total))

    def _ended(self, event: Event) -> None:
        assert isinstance(event, JobEnded)
        if self._kept:
            self._kept.pop(("started", event.job_id, event.replays, event.attempt), None)
            self._kept.pop(("progress", event.job_id, event.replays, event.attempt), None)
        if event.delay is None and event.has_result:
            return
        outcome, seconds = event.outcome, event.seconds
        self._keep(
            "ended",
            Finished(
                **self._said(event), outcome=outcome, seconds=seconds, detail=event.detail[:1000], retry_in=event.delay
            ),
        )

    def _refused(self, event: Event) -> None:
        assert isinstance(event, JobRefused)
        if not event.has_result:
            said = self._said(event)
            self._keep("ended", Refused(**said, outcome=event.outcome, reason=event.reason, detail=event.detail[:1000]))

    def _interrupted(self, event: Event) -> None:
        assert isinstance(event, JobInterrupted)
        if self._kept.pop(("started", event.job_id, event.replays, event.attempt), None) is not None:
            return  # taken back from a process that, as it turned out, had not begun it
        self._number += 1
        self._keep(f"interrupted {self._number}", Interrupted(**self._said(event)))

    def _lost(self, event: Event) -> None:
        assert isinstance(event, JobLost)
        self._number += 1
        self._keep(f"lost {self._number}", Lost(**self._said(event), crashes=event.crashes))

    def _said(self, event: JobStarted | JobProgress | JobEnded | JobRefused | JobInterrupted | JobLost) -> _Said:
        return {
            "id": event.job_id,
            "task": event.task,
            "queue": event.queue,
            "attempt": event.attempt,
            "replays": event.replays,
            "at": self._clock(),
        }


def _look_at_error(confirm: "asyncio.Future[None]") -> None:
    """Nobody may be left to ask for it."""
    if not confirm.cancelled():
        confirm.exception()
