"""What a worker does when it hears that a queue is paused: it takes nothing from it, and gives back what has not begun."""

import time
from collections.abc import Callable, Collection
from contextlib import suppress

from warren.control import PauseQueue, ResumeQueue, command_message
from warren.events import Events, QueuePaused, QueueResumed
from warren.pauses import Pauses
from warren.topology import Names
from warren.worker.control import Control
from warren.worker.outlet import CANNOT_PUBLISH, Outlet
from warren.worker.plan import Publish

RENEW_SECONDS = 86_400.0
"""A pause that is older is said again by each worker that connects: neither the age nor the size of the stream ends it."""


class Pausing:
    """Has pauses heard and obeyed.

    Args:
        queues: that this worker serves; others do not concern it.
        events: hears what changes.
    """

    def __init__(self, queues: Collection[str], events: Events) -> None:
        self._queues = queues
        self._events = events
        self._pauses = Pauses()
        self._on_change: Callable[[], None] = lambda: None

    def is_paused(self, queue: str) -> bool:
        """Tell whether jobs of a queue may not be taken now."""
        return queue in self._pauses

    def listen(self, control: Control, on_change: Callable[[], None]) -> None:
        """Hear what concerns pauses; `on_change` is called when another answer than before is given for a queue that is served."""
        self._on_change = on_change
        control.on(PauseQueue, self._hear)
        control.on(ResumeQueue, self._hear)

    async def renew(self, outlet: Outlet, names: Names) -> None:
        """Say again what would be forgotten some day; if it cannot be said now, others will."""
        now = time.time()
        for pause in [pause for pause in self._pauses if pause.at < now - RENEW_SECONDS]:
            message, key = command_message(pause, now)
            with suppress(*CANNOT_PUBLISH):
                sent = await outlet.send(Publish(message, names.control, key, mandatory=False))
                sent.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _hear(self, said: PauseQueue | ResumeQueue) -> None:
        if self._pauses.hear(said) and said.queue in self._queues:
            paused = said.queue in self._pauses
            self._events.emit(QueuePaused(said.queue) if paused else QueueResumed(said.queue))
            self._on_change()
