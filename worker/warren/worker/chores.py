"""Coroutines that run beside the rest and that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Chores:
    """Keeps them until they are done: asyncio itself holds tasks weakly."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def do(self, chore: Coroutine[Any, Any, object]) -> None:
        """Begin one."""
        task = asyncio.get_running_loop().create_task(chore)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
