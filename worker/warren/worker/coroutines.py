"""In a pool process: the event loop of its coroutine tasks, in a thread of its own; many jobs at a time.

The main thread stays free for plain tasks, which would block the others here, and for signals. Which job's code runs at the
moment stands in memory that the parent shares: each step of a job, and of every task that it makes, is marked there. So the
parent knows whom to charge when the process dies, and who stands in everybody's way when the loop does not go on.
"""

import asyncio
import contextvars
import importlib
import importlib.util
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from typing import Any

import msgspec

from warren.job import Body
from warren.outcome import Cancelled, Failed, Outcome, Rejected
from warren.task import Task
from warren.worker.attempt import Attempt, failure_of
from warren.worker.chains import chain_of
from warren.worker.differences import Differences
from warren.worker.frames import (
    Ask,
    Begin,
    Chains,
    Counted,
    Ended,
    FromLoop,
    Interrupt,
    Progress,
    Run,
    Said,
    ToLoop,
    Unpacker,
    pack,
)
from warren.worker.journal import Journal
from warren.worker.wire import Wire

CANCELLED = "it was cancelled while it ran"
PROGRESS_SECONDS = 0.2
_STOP_SECONDS = 1.0
_BODY = msgspec.json.Decoder(Body)
_number: contextvars.ContextVar[int] = contextvars.ContextVar("warren_coroutine", default=0)


def received_from(wire: socket.socket) -> socket.socket:
    """Return the event loop's socket, which the parent sends by this one."""
    _, (fd,), _, _ = socket.recv_fds(wire, 1, 1)
    return socket.socket(fileno=fd)


class Coroutines:
    """Runs the coroutine jobs that come by a socket. Only touched from its loop, but for `start` and `stop`.

    Args:
        wire: to the parent.
        tasks: by name.
        journal: where it is marked whose step runs.
        metrics: what tasks counted; the main thread asks it as well.
    """

    def __init__(
        self, wire: socket.socket, tasks: Mapping[str, Task[..., Any]], journal: Journal, metrics: Differences
    ) -> None:
        self._wire = wire
        self._tasks = tasks
        self._journal = journal
        self._metrics = metrics
        self._unpacker = Unpacker(ToLoop)
        self._running: dict[int, tuple[Attempt, asyncio.Task[Outcome]]] = {}
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="warren-coroutines", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; what still runs is cancelled."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_STOP_SECONDS)

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._take_jobs())
        except BaseException:  # noqa: BLE001 - without its loop this process is of no use, and would look as if it were
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    async def _take_jobs(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_task_factory(self._marked_task)
        transport, _ = await self._loop.create_connection(lambda: Wire(self._read, self._lost), sock=self._wire)
        self._transport = transport
        await self._stopped.wait()
        for _, task in self._running.values():
            task.cancel()

    def _lost(self, _: Exception | None) -> None:
        self._stopped.set()  # the parent is gone

    def _read(self, data: bytes) -> None:
        for message in self._unpacker.feed(data):
            match message:
                case Begin():
                    self._begin(message.number, message.run)
                case Interrupt() if message.number in self._running:
                    attempt, task = self._running[message.number]
                    attempt.cancelled_for = message.why
                    task.cancel()
                case Ask():
                    chains = {number: chain_of(task.get_coro()) for number, (_, task) in self._running.items()}
                    self._send(Chains(message.question, chains))

    def _begin(self, number: int, run: Run) -> None:
        task = self._tasks.get(run.task)
        if task is None:
            self._send(Said(number, Ended(Rejected("unknown_task", f"no task {run.task!r} in this process"), 0.0)))
            return
        attempt = Attempt(task, run, _Reporter(partial(self._say_progress, number)))
        own = contextvars.copy_context()
        own.run(_number.set, number)
        assert self._loop is not None
        body = _BODY.decode(run.body)
        running = self._loop.create_task(attempt.await_with(body.args, body.kwargs), context=own)
        self._running[number] = attempt, running
        # Not at the end of a coroutine of ours: one that is cancelled before its first step never comes there.
        running.add_done_callback(partial(self._ended, number, time.monotonic()))

    def _ended(self, number: int, started: float, running: "asyncio.Task[Outcome]") -> None:
        attempt, _ = self._running.pop(number)
        outcome = _outcome_of(attempt, running)
        self._tell_metrics()
        self._send(Said(number, Ended(outcome, time.monotonic() - started)))

    def _tell_metrics(self) -> None:
        try:
            if families := self._metrics.take():
                self._send(Counted(families))
        except Exception:  # noqa: BLE001 - a task's own collector; the outcome is to be told all the same
            traceback.print_exc()

    def _say_progress(self, number: int, progress: Progress) -> None:
        assert self._loop is not None
        # From any thread: a coroutine may well have its work done by `asyncio.to_thread`.
        self._loop.call_soon_threadsafe(self._send, Said(number, progress))

    def _send(self, message: FromLoop) -> None:
        assert self._transport is not None
        self._transport.write(pack(message))

    def _marked_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], **more: Any
    ) -> "asyncio.Task[Any]":
        within: contextvars.Context | None = more.get("context")
        number = _number.get() if within is None else within.get(_number, 0)
        return asyncio.Task(_Marked(work, number, self._journal) if number else work, loop=loop, **more)


def _outcome_of(attempt: Attempt, running: "asyncio.Task[Outcome]") -> Outcome:
    """What an attempt came to, also one that never began, and one that a bug ended."""
    if running.cancelled():
        return Cancelled(attempt.cancelled_for or "it was cancelled before it began")
    error = running.exception()
    return running.result() if error is None else Failed(failure_of(error))


class _Reporter:
    """Passes a job's progress on, not more often than somebody can look at it."""

    def __init__(self, say: Callable[[Progress], None]) -> None:
        self._say = say
        self._last = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last > PROGRESS_SECONDS or done == total:
            self._last = now
            self._say(Progress(done, total))


class _Marked(Coroutine[Any, Any, Any]):
    """A coroutine whose every step is marked as its job's; in all else the coroutine itself (`cr_frame` and the like)."""

    def __init__(self, inner: Any, number: int, journal: Journal) -> None:
        self._inner, self._number, self._journal = inner, number, journal

    def send(self, value: Any) -> Any:
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _step(self, step: Callable[..., Any], *what: Any) -> Any:
        self._journal.mark(self._number, time.monotonic())
        try:
            return step(*what)
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio would end the loop by it, and every job there.
            raise RuntimeError(f"a task of the job raised {type(error).__name__}: {error}") from error
        finally:
            self._journal.mark(0, 0.0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where that is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory
