"""Single jobs that are enqueued in one turn of the loop, as under `asyncio.gather`, are sent together."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, TypeVar

from warren.amqp.seam import AmqpError
from warren.producer.core import Outgoing
from warren.producer.runs import STEP, failures, together

Sent = TypeVar("Sent")


class Gathering(Generic[Sent]):
    """Collects jobs until the turn of the loop ends, or there are enough of them; lives on one loop.

    Args:
        start: sends jobs of one address.
        confirmed: waits for the confirms of what was started; raises an `AmqpError`.
    """

    def __init__(
        self, start: Callable[[Sequence[Outgoing]], Sent], confirmed: Callable[[Sent], Coroutine[Any, Any, None]]
    ) -> None:
        self._start = start
        self._confirmed = confirmed
        self._in_turn = False
        self._jobs: list[Outgoing] = []
        self._answers: list[asyncio.Future[None]] = []
        self._telling: set[asyncio.Task[None]] = set()

    def goes_alone(self) -> bool:
        """Whether a job is the first of its turn: it had better be sent by itself, and at once."""
        if self._in_turn:
            return False
        self._in_turn = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def send(self, outgoing: Outgoing) -> "asyncio.Future[None]":
        """Send a job with others; the future is done when it is confirmed, or fails as `confirmed` does."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.append(outgoing)
        self._answers.append(answer)
        if len(self._jobs) == STEP:
            self._send()
        return answer

    def _end_turn(self) -> None:
        self._in_turn = False
        self._send()

    def _send(self) -> None:
        jobs, self._jobs = self._jobs, []
        answers, self._answers = self._answers, []
        for run in together(jobs):
            telling = asyncio.get_running_loop().create_task(self._tell(self._start(run), answers[: len(run)]))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
            del answers[: len(run)]

    async def _tell(self, sent: Sent, answers: list["asyncio.Future[None]"]) -> None:
        errors: Mapping[int, AmqpError] = {}
        try:
            await self._confirmed(sent)
        except AmqpError as error:
            errors = failures(error, len(answers))
        except asyncio.CancelledError:  # the producer is closed
            for answer in answers:
                answer.cancel()
            raise
        for place, answer in enumerate(answers):
            if answer.done():  # whoever enqueued it was cancelled
                continue
            if place in errors:
                answer.set_exception(errors[place])
            else:
                answer.set_result(None)
