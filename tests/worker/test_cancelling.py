"""What a worker has of the jobs that are cancelled."""

from typing import Any, cast

import pytest

from warren.amqp.seam import Delivery, Message
from warren.control import CancelJobs, CancelTask, Held
from warren.job import Job, from_message
from warren.worker.cancelling import Cancelling
from warren.worker.execution import Execution
from warren.worker.tombstones import Tombstones


class Scene:
    """A worker that has a job `known` of the task `m:f`, and a message that is no job and is being buried."""

    def __init__(self) -> None:
        self.tombstones = Tombstones()
        self.accepted: list[str | None] = []
        self.working = [self._execution("known", b'{"task":"m:f"}', "m:f"), self._execution("odd", b"nothing", "")]
        self.say: dict[type, Any] = {}
        Cancelling(cast("Any", self), self._cancel).listen(cast("Any", self))

    def on(self, kind: type, handler: Any) -> None:
        self.say[kind] = handler

    def accept(self, message: Message, queue: str) -> Job:
        self.accepted.append(message.message_id)
        return from_message(message, queue, 0.0)

    def _cancel(self, touches: Any) -> Held:
        return Held(running=tuple(execution.key[0] for execution in self.working if touches(execution)))

    def _execution(self, job_id: str, body: bytes, task: str) -> Execution:
        delivery = Delivery(Message(body, message_id=job_id), "q", "", "default", False, 1, None)
        return Execution(cast("Any", None), delivery, 0, (job_id, 1, 0, 0), "default", task)


@pytest.mark.parametrize(
    ("command", "touched"),
    [
        (CancelJobs(("known",), 1.0, "why"), ("known",)),
        (CancelJobs(("elsewhere",), 1.0, "why"), ()),
        (CancelJobs(("odd",), 1.0, "why"), ()),
        (CancelTask("m:f", 1.0, "why"), ("known",)),
        (CancelTask("", 1.0, "why"), ()),
    ],
)
def test_a_message_that_is_no_job_is_not_looked_at_again_whatever_is_cancelled(
    command: CancelJobs | CancelTask, touched: tuple[str, ...]
) -> None:
    scene = Scene()
    assert scene.say[type(command)](command) == Held(running=touched)
    assert "odd" not in scene.accepted
