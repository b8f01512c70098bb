"""A pool process: reads a job from its socket, runs it, writes the outcome, until told to stop. It never touches the broker."""

import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from warren import logs
from warren.hooks import Hook
from warren.job import Body
from warren.options import in_seconds
from warren.outcome import Rejected
from warren.task import Task
from warren.worker.attempt import Attempt, failure_of
from warren.worker.black_box import Recorder
from warren.worker.coroutines import CANCELLED, PROGRESS_SECONDS, Coroutines, received_from
from warren.worker.differences import Differences, own_registry
from warren.worker.frames import (
    Broken,
    Counted,
    Ended,
    FromProcess,
    Progress,
    Ready,
    Run,
    TaskInfo,
    Unprepared,
    pack,
)
from warren.worker.initialising import HookFailed, Initialised, hooks_of
from warren.worker.journal import Journal
from warren.worker.setup import INTERRUPT, Setup
from warren.worker.turns import Inbox
from warren.worker.unit import run_unit


class Child:
    """The process's side of its sockets.

    Args:
        wire: the jobs of the main thread come by it, and what becomes of them goes back.
        loop_wire: the same for the jobs of the event loop.
        recorder: takes note of what begins.
        journal: shared with the parent.
        inbox: takes jobs from `wire`.
    """

    def __init__(
        self, wire: socket.socket, loop_wire: socket.socket, recorder: Recorder, journal: Journal, inbox: Inbox
    ) -> None:
        self._wire = wire
        self._loop_wire = loop_wire
        self._recorder = recorder
        self._journal = journal
        self._inbox = inbox
        self._attempt: Attempt | None = None
        self._metrics = Differences(own_registry)
        self._last_progress = 0.0

    def serve(self, setup: Setup) -> None:
        """Import the modules, then run what comes until told to stop or the parent is gone."""
        initialised = Initialised()
        try:
            tasks = self._prepared(setup, initialised)
            if tasks is not None:
                self._serve(tasks)
        finally:
            initialised.end()

    def _prepared(self, setup: Setup, initialised: Initialised) -> dict[str, Task[..., Any]] | None:
        """Import the modules and run what they mark for it; return their tasks, or tell the parent why there are none."""
        try:
            tasks = find_tasks(setup.modules)
            before_fork = [] if setup.prepare else hooks_of(setup.modules, "warren_init")
            if before_fork and setup.start_method != "spawn":
                self._send(Unprepared())
                return None
            initialised.run(before_fork + hooks_of(setup.modules, "process_init"))
        except HookFailed as error:
            self._send(Broken(str(error)))
        except BaseException as error:  # noqa: BLE001 - importing is user code
            self._send(Broken(str(failure_of(error))))
        else:
            return tasks
        return None

    def _serve(self, tasks: Mapping[str, Task[..., Any]]) -> None:
        coroutines = None
        if any(task.is_coroutine for task in tasks.values()):
            coroutines = Coroutines(self._loop_wire, tasks, self._journal, self._metrics)
            coroutines.start()
        signal.signal(INTERRUPT, self._interrupted)
        self._send(Ready([_info(task) for task in tasks.values()]))
        while isinstance(message := self._inbox.take(), Run):
            self._run(tasks, message)
        if coroutines is not None:
            coroutines.stop()

    def _run(self, tasks: Mapping[str, Task[..., Any]], run: Run) -> None:
        self._recorder.begin()
        task, body = tasks.get(run.task), _BODY.decode(run.body)
        if task is None:
            self._send(Ended(Rejected("unknown_task", f"no task {run.task!r} in this process"), 0.0))
            return
        self._attempt = attempt = Attempt(task, run, self._report)
        self._interrupted()  # the signal may have come before there was an attempt
        if run.unit is None:
            started = time.monotonic()
            outcome = attempt.run_with(body.args, body.kwargs)
            self._tell(Ended(outcome, time.monotonic() - started))
        else:
            run_unit(attempt, run.unit, body, self._journal, self._tell)
        self._attempt = None

    def _interrupted(self, *_: object) -> None:
        if self._attempt is not None and self._journal.is_interrupted(self._inbox.turn):
            self._attempt.interrupt(CANCELLED)

    def _tell(self, ended: Ended) -> None:
        if ended.last:
            self._send_metrics()
        self._send(ended)

    def _send(self, message: FromProcess) -> None:
        self._wire.sendall(pack(message))

    def _send_metrics(self) -> None:
        families = self._metrics.take()
        if families:
            self._send(Counted(families))

    def _report(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last_progress > PROGRESS_SECONDS or done == total:
            self._last_progress = now
            self._send(Progress(done, total))


def find_tasks(modules: tuple[str, ...]) -> dict[str, Task[..., Any]]:
    """Import modules and return the tasks in them, by name.

    Raises:
        ImportError: a module cannot be imported, or two tasks have one name.
    """
    tasks: dict[str, Task[..., Any]] = {}
    for name in modules:
        module = importlib.import_module(name)
        found = [value for value in vars(module).values() if isinstance(value, Task)]
        if not found and not any(isinstance(value, Hook) for value in vars(module).values()):
            raise ImportError(f"module {name!r} has no task; declare one with @task")
        for task in found:
            other = tasks.setdefault(task.name, task)
            if other.function is not task.function:
                raise ImportError(f"two tasks have the name {task.name!r}; give one of them another with name=")
    return tasks


def main(wire: socket.socket, setup: Setup) -> None:
    """Be a pool process on this socket; the parent's end tells us everything."""
    # A Ctrl-C or a service manager's SIGTERM may reach the whole group: it is the parent who decides what to do about it.
    # A handler rather than SIG_IGN, which programs started by a task would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    sys.path[:] = setup.path
    logs.configure(setup.log_level, setup.log_format)  # while it can still be seen whether a terminal is there
    recorder = Recorder.received_from(wire)
    recorder.install()
    journal, inbox, loop_wire = Journal.received_from(wire), Inbox.received_from(wire), received_from(wire)
    Child(wire, loop_wire, recorder, journal, inbox).serve(setup)


def _info(task: Task[..., Any]) -> TaskInfo:
    settings = task.settings
    return TaskInfo(task.name, settings.queue, settings.max_crashes, in_seconds(settings.kill_after), task.is_coroutine)


_BODY = msgspec.json.Decoder(Body)

if __name__ == "__main__":  # the start method `spawn`
    main(socket.socket(fileno=int(sys.argv[1])), msgspec.convert(json.loads(sys.argv[2]), Setup))
    sys.stdout.flush()
    os._exit(0)
