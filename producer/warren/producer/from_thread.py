"""Publishing in the calling thread, which writes, reads the confirms and waits by itself: the I/O thread is not even woken.

What needs care, or a thread cannot do, is left to the loop: connecting, declaring, what was refused or lost.
"""

import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from warren.amqp.seam import Together
from warren.errors import PublishError
from warren.producer.core import Outgoing
from warren.producer.io_thread import Waiter
from warren.producer.publishing import Publisher
from warren.producer.runs import AHEAD, Composed, failures, how_many, together

_LOOK_SECONDS = 1.0
"""How long to rely on another thread's reading before looking at it."""
OnLoop = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine on the loop and waits for it."""


@dataclass(slots=True, eq=False)
class _Sent:
    """Jobs that were sent together and are not concluded yet."""

    jobs: Sequence[Outgoing]
    started: float
    together: Together
    waiter: Waiter


class ThreadPublisher:
    """Does in any thread what the publisher does on its loop."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._seconds = publisher.link.settings.publish_timeout

    def send(self, outgoing: Outgoing, on_loop: OnLoop) -> None:
        """Publish one job; as `Publisher.send`."""
        sent = self._start((outgoing,))
        if sent is None:
            self.step_aside()
            on_loop(self._publisher.send(outgoing))
        else:
            self._conclude(sent, on_loop)

    def send_many(self, outgoing: Iterable[Outgoing], on_loop: OnLoop) -> None:
        """Publish many jobs, in their order; as `Publisher.send_many`."""
        waiting: deque[_Sent] = deque()
        begun, composed = 0, Composed(outgoing)
        try:
            for jobs in together(composed):
                sent = self._start(jobs)
                if sent is None:
                    self._conclude_oldest(waiting, 0, on_loop)
                    self.step_aside()
                    on_loop(self._publisher.send_run(jobs))
                else:
                    waiting.append(sent)
                begun += len(jobs)
                self._conclude_oldest(waiting, AHEAD, on_loop)
            self._conclude_oldest(waiting, 0, on_loop)
        except PublishError as error:
            error.add_note(how_many(begun - sum(len(sent.jobs) for sent in waiting)))
            raise
        composed.check()

    def step_aside(self) -> None:
        """Do this before waiting for the loop: in a signal handler, this thread may be the one that reads what that needs."""
        session = self._publisher.link.session
        if session is not None and session.together is not None:
            session.together.stop_listening()

    def _start(self, jobs: Sequence[Outgoing]) -> _Sent | None:
        """Send without waiting; None where this thread cannot."""
        publisher, started = self._publisher, time.monotonic()
        session = publisher.ready(jobs[0])
        if session is None or session.together is None:
            return None
        sent = _Sent(jobs, started, session.together, Waiter())
        address = jobs[0].address(publisher.link.names, time.time())
        letters = [job.letter for job in jobs]
        return sent if session.together.publish_from_thread(letters, *address, sent.waiter) else None

    def _conclude_oldest(self, waiting: deque[_Sent], keep: int, on_loop: OnLoop) -> None:
        while len(waiting) > keep:
            self._conclude(waiting[0], on_loop)
            waiting.popleft()

    def _conclude(self, sent: _Sent, on_loop: OnLoop) -> None:
        """Wait for the confirms, and see to it that all are."""
        error = sent.waiter.error if self._is_told(sent) else sent.together.give_up(sent.waiter)
        if error is None:
            self._publisher.enqueued(sent.jobs, sent.started)
            return
        errors = failures(error, len(sent.jobs))
        self._publisher.enqueued([job for place, job in enumerate(sent.jobs) if place not in errors], sent.started)
        for place, why in errors.items():
            on_loop(self._publisher.careful.recover(sent.jobs[place], sent.started, why))

    def _is_told(self, sent: _Sent) -> bool:
        until = sent.started + self._seconds
        while True:
            sent.together.listen_from_thread(sent.waiter, until)
            left = until - time.monotonic()
            if sent.waiter.wait(min(left, _LOOK_SECONDS)):
                return True
            if left <= _LOOK_SECONDS:
                return False
