"""That a daemon shall stop: said by a signal, by whoever embeds it, or from outside."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any


class Stopping:
    """Asked once, it is to stop; asked again, to hurry. Only touched from the loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self.how = ""
        """By what it was asked last."""
        self._gently = True

    def ask(self, how: str) -> None:
        """Begin to stop, or hurry."""
        if not self._gently:
            self.hurry.set()
        self._gently = False
        self.how = how
        self.asked.set()

    def ask_gently(self, how: str) -> bool:
        """Begin to stop, if that has not begun; returns whether it begins now.

        It does not count: neither this said twice hurries, nor the first signal after it, by which whatever runs the daemon
        ends what is to end anyway.
        """
        begins = not self.asked.is_set()
        if begins:
            self.how = how
            self.asked.set()
        return begins

    def listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have SIGTERM and SIGINT ask, where this is possible."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.ask, number.name)

    async def unless_asked(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do this until it is done, or until we shall stop; whether it was done."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self.asked.wait())
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        done = working.done()
        stopped.cancel()
        working.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
        if done:
            working.result()
        return done
