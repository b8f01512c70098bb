"""Runs what users marked with `process_init` and `warren_init`: to their `yield` at the start, the rest at the end."""

import gc
import importlib
import logging
import sys
import threading
from collections.abc import Generator
from types import GeneratorType
from typing import Any

from warren import logs
from warren.hooks import Hook, Kind
from warren.worker.setup import Setup

_LOG = "warren"


class HookFailed(Exception):
    """A function that should prepare a process raised."""


class Initialised:
    """What was run, and what of it has something to do at the end."""

    def __init__(self) -> None:
        self._done: list[Hook[Any]] = []
        self._open: list[tuple[Hook[Any], Generator[Any, Any, Any]]] = []

    def run(self, hooks: list[Hook[Any]]) -> None:
        """Run those that were not run yet.

        Raises:
            HookFailed: one of them raised.
        """
        for hook in hooks:
            if hook not in self._done:
                self._run(hook)
                self._done.append(hook)

    def end(self) -> None:
        """Run the rest of each, the last first; what one raises is logged, and stops no other."""
        while self._open:
            hook, generator = self._open.pop()
            try:
                next(generator)
            except StopIteration:
                continue
            except BaseException:
                logging.getLogger(_LOG).exception("%s %r raised as its process ended", hook.kind, hook.name)
            else:
                logging.getLogger(_LOG).error("%s %r has a second yield, which is never reached", hook.kind, hook.name)

    def _run(self, hook: Hook[Any]) -> None:
        try:
            made = hook()
            if isinstance(made, GeneratorType):
                next(made, None)
                self._open.append((hook, made))
        except BaseException as error:
            raise HookFailed(f"{hook.kind} {hook.name!r} raised {type(error).__name__}: {error}") from error


class Preparation:
    """What a nursery does before its first fork, if there is a `warren_init`."""

    def __init__(self) -> None:
        self._initialised = Initialised()
        self._complete = False

    def complete(self, setup: Setup) -> None:
        """Import the modules and run what they have marked, unless that is done.

        Raises:
            HookFailed: it cannot be done.
        """
        if self._complete:
            return
        sys.path[:] = setup.path
        logs.configure(setup.log_level, setup.log_format)
        try:
            hooks = hooks_of(setup.modules, "warren_init")
        except BaseException as error:
            raise HookFailed(f"{type(error).__name__}: {error}") from error
        self._initialised.run(hooks)
        self._complete = True
        gc.collect()
        gc.freeze()  # else a process's first full collection writes to every page that it shares with the others
        if threading.active_count() > 1:
            logging.getLogger(_LOG).warning(
                "a warren_init function or an import has started threads: the processes that are forked now do not have them"
            )

    def end(self) -> None:
        """Run what is left for the end."""
        self._initialised.end()


def hooks_of(modules: tuple[str, ...], kind: Kind) -> list[Hook[Any]]:
    """Import modules and return what is marked in them, in its order, each once."""
    found = [
        value
        for name in modules
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, Hook) and value.kind == kind
    ]
    return list(dict.fromkeys(found))
