"""Coroutines that run beside the rest and that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog


class Chores:
    """Keeps them until they are done: asyncio itself holds tasks weakly. One that fails is logged, as nobody else hears of it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def do(self, chore: Coroutine[Any, Any, object]) -> None:
        """Begin one."""
        task = asyncio.get_running_loop().create_task(chore)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger("warren").error(
                "a bug in Warren: something that the pool was to do has failed; please report it",
                chore=task.get_coro().__qualname__,  # type: ignore[union-attr]
                exc_info=error,
            )
