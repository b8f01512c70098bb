"""What `warren check` looks at: each part returns findings, and none of them starts or changes anything."""

import contextlib
import enum
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from warren.errors import InvalidTask
from warren.options import in_seconds
from warren.settings import Settings
from warren.task import Task

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_STRICT_PRIORITIES = (4, 3)
_ANY_PRIORITIES = (4, 0)
_POLICY = (3, 12)
DEFAULT_CONSUMER_TIMEOUT = 1800.0
"""Seconds; of every version of RabbitMQ up to 4.3."""


class Level(enum.StrEnum):
    """How bad a finding is; only errors make the check fail."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    said: str


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What is known of the broker; None is not known.

    Attributes:
        consumer_timeouts: seconds a delivery may stay unacknowledged, by queue, where an argument or policy says so.
    """

    version: tuple[int, ...] | None = None
    consumer_timeouts: dict[str, float] = field(default_factory=dict)


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Look at settings that are allowed, and yet asking for trouble."""
    for url in settings.urls:
        parts = urlsplit(url)
        if (parts.username or "guest") == "guest" and parts.hostname not in _LOOPBACK and parts.scheme != "memory":
            yield Finding(
                Level.WARNING,
                "settings",
                f"user guest on {parts.hostname}: RabbitMQ lets it in from its own machine only; make a user (`rabbitmqctl add_user`)",
            )


def of_priorities(facts: BrokerFacts) -> Iterator[Finding]:
    """Tell what a job's priority means to this broker."""
    if facts.version is None:
        return
    version = ".".join(map(str, facts.version))
    if facts.version >= _STRICT_PRIORITIES:
        said = f"RabbitMQ {version} hands out the jobs of a queue strictly by priority; without one a job counts as 4"
    elif facts.version >= _ANY_PRIORITIES:
        said = f"RabbitMQ {version} knows two levels: of those above 4, two are handed out for one of the rest"
    else:
        said = f"RabbitMQ {version} keeps no order by priority: use queues of their own, with weights or --strict"
    yield Finding(Level.OK, "priority", said)


def of_modules(modules: Sequence[str]) -> tuple[list[Task[Any, Any]], list[Finding]]:
    """Import modules as a worker does; return their tasks, and what is wrong with them."""
    tasks: dict[str, Task[Any, Any]] = {}
    findings = []
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as the worker's processes have it
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    for name in modules:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # ours is the document
                found = [value for value in vars(importlib.import_module(name)).values() if isinstance(value, Task)]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            said = f"cannot be imported: {type(error).__name__}: {error}"
            findings.append(Finding(Level.ERROR, f"module {name}", said))
            continue
        findings.append(_of_module(name, found, tasks))
    return list(tasks.values()), findings


def _of_module(name: str, found: Sequence[Task[Any, Any]], tasks: dict[str, Task[Any, Any]]) -> Finding:
    what = f"module {name}"
    if not found:
        return Finding(Level.ERROR, what, "has no task; declare one with @task")
    for task in found:
        other = tasks.setdefault(task.name, task)
        if other.function is not task.function:
            return Finding(
                Level.ERROR, what, f"has a second task of the name {task.name!r}; give one another with name="
            )
    return Finding(Level.OK, what, f"tasks: {', '.join(sorted(task.name for task in found))}")


def of_tasks(tasks: Sequence[Task[Any, Any]], settings: Settings, facts: BrokerFacts) -> Iterator[Finding]:
    """Look at the tasks' signatures and options, beside what the broker can."""
    for task in tasks:
        for level, said in _of_task(task, settings, facts):
            yield Finding(level, f"task {task.name}", said)
    unlimited = [task.name for task in tasks if _longest(task) is None]
    if unlimited:
        waits = ", ".join(sorted({_whose(task, facts) for task in tasks if task.name in unlimited}))
        said = f"no time limit: a job that runs longer than {waits} is run a second time; give them kill_after="
        yield Finding(Level.WARNING, f"task{'s' if len(unlimited) > 1 else ''} {', '.join(unlimited)}", said)


def _of_task(task: Task[Any, Any], settings: Settings, facts: BrokerFacts) -> Iterator[tuple[Level, str]]:
    try:
        _ = task.signature
    except InvalidTask as error:
        yield Level.ERROR, str(error)
    if task.settings.queue not in settings.queue_names:
        served = ", ".join(settings.queue_names)
        said = f"its queue {task.settings.queue!r} is not among those served here ({served}); some worker must serve it"
        yield Level.WARNING, said
    yield from _of_priority(task, facts)
    longest, allowed = _longest(task), _allowed(task, facts)
    if longest is not None and longest >= allowed:
        # What the default says may have been changed in the node's configuration, which nobody can see from outside.
        level = Level.ERROR if task.settings.queue in facts.consumer_timeouts else Level.WARNING
        said = f"may run {longest:,.0f} s, longer than {_whose(task, facts)}: the job would run a second time; {_cure(facts)}"
        yield level, said


def _of_priority(task: Task[Any, Any], facts: BrokerFacts) -> Iterator[tuple[Level, str]]:
    if task.settings.priority is None or facts.version is None or facts.version >= _STRICT_PRIORITIES:
        return
    version = ".".join(map(str, facts.version))
    if facts.version < _ANY_PRIORITIES:
        said = f"priority={task.settings.priority} has no effect: RabbitMQ {version} keeps no order by priority"
        yield (
            Level.ERROR,
            f"{said}; leave it out, and give urgent jobs a queue of their own (--queue urgent=6, or --strict)",
        )
    else:
        yield (
            Level.WARNING,
            f"priority={task.settings.priority}: RabbitMQ {version} knows two levels only, above 4 and the rest",
        )


def _longest(task: Task[Any, Any]) -> float | None:
    limits = [in_seconds(task.settings.kill_after), in_seconds(task.settings.timeout)]
    return max((limit for limit in limits if limit is not None), default=None)


def _allowed(task: Task[Any, Any], facts: BrokerFacts) -> float:
    """A delivery that is not acknowledged in so many seconds is taken back by the broker."""
    return facts.consumer_timeouts.get(task.settings.queue, DEFAULT_CONSUMER_TIMEOUT)


def _whose(task: Task[Any, Any], facts: BrokerFacts) -> str:
    known = task.settings.queue in facts.consumer_timeouts
    return f"{'this broker' if known else 'RabbitMQ by default'} waits for it ({_allowed(task, facts):,.0f} s)"


def _cure(facts: BrokerFacts) -> str:
    if facts.version is not None and facts.version < _POLICY:
        return "raise consumer_timeout in rabbitmq.conf (this version has no policy for it)"
    return "raise it by the policy `consumer-timeout` (deploy/README.md)"
