"""Workers that were lost with a job count towards its `max_crashes`, and nothing else that a broker counts does."""

import random
from typing import Any, cast

import pytest
from msgspec.structs import replace

from warren.amqp.seam import Delivery, Message
from warren.dead_letter import read
from warren.events import Event, Events, JobRefused
from warren.job import Body, Job, to_message
from warren.limits import Limits
from warren.topology import Names
from warren.worker.execution import Execution, Runner, key_of
from warren.worker.frames import Run, TaskInfo
from warren.worker.losses import told, workers_lost
from warren.worker.plan import Planner
from warren.worker.read_ahead import ReadAhead

NOW = 1_700_000_000.0
JOB = Job("1", Body("m:f"), "q", enqueued_at=NOW, ready_at=NOW, first_ready_at=NOW)


def delivery(headers: dict[str, object], job: Job = JOB, *, redelivered: bool = True) -> Delivery:
    message = to_message(job)
    message = Message(message.body, "1", headers={**message.headers, **headers})
    return Delivery(message, "t.queue.q", "", "q", redelivered, 1, None)


@pytest.mark.parametrize(
    ("headers", "lost"),
    [
        ({}, 0),
        ({"x-acquired-count": 3}, 0),
        ({"x-acquired-count": 3, "x-delivery-count": 0}, 0),
        ({"x-acquired-count": 3, "x-delivery-count": 2}, 2),
        ({"x-delivery-count": 19}, 0),
        ({"x-acquired-count": 1, "x-delivery-count": -1}, 0),
        ({"x-acquired-count": 1, "x-delivery-count": "2"}, 0),
        ({"x-acquired-count": 1, "x-delivery-count": True}, 0),
    ],
    ids=str,
)
def test_only_an_exact_count_of_failed_deliveries_counts(headers: dict[str, object], lost: int) -> None:
    assert workers_lost(delivery(headers)) == lost
    assert workers_lost(delivery(headers, redelivered=False)) == 0, "what a publisher says is not believed"


def test_why_is_told_in_words() -> None:
    assert told(3, 0) == "its worker was lost 3 times while it had this job"
    assert told(1, 2) == "its worker was lost once while it had this job, after it had ended its process 2 times"


class Scene:
    """A runner whose pool runs nothing, for a task with `max_crashes` 3."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tasks = {"m:f": TaskInfo("m:f", "q", 3, None)}
        self.submitted: list[Run] = []
        planner = Planner(Names("t"), "me", 1 << 20, random.Random(1))
        events = Events(self.events.append)
        self.runner = Runner(cast("Any", self), planner, events, lambda: NOW, 1 << 20, ReadAhead(1, 0))

    def submit(self, run: Run, *_: object, **__: object) -> None:
        self.submitted.append(run)

    def take(self, came: Delivery) -> Execution:
        """Take a delivery in, as the intake does."""
        job = self.runner.accept(came, "q")
        assert isinstance(job, Job)
        execution = Execution(cast("Any", None), came, 0, key_of(job, came.message), "q", job.task)
        self.runner.start(execution, job, lambda _: None)
        return execution


@pytest.mark.parametrize(
    ("lost", "crashes", "limits", "runs"),
    [
        (0, 0, None, True),
        (2, 0, None, True),
        (3, 0, None, False),
        (1, 1, None, True),
        (1, 2, None, False),
        (0, 9, None, True),
        (3, 0, Limits(max_crashes=4), True),
        (1, 0, Limits(max_crashes=1), False),
    ],
)
def test_lost_workers_and_crashes_together_reach_max_crashes(
    lost: int, crashes: int, limits: Limits | None, *, runs: bool
) -> None:
    scene = Scene()
    job = replace(JOB, crashes=crashes, limits=limits)
    execution = scene.take(delivery({"x-acquired-count": lost, "x-delivery-count": lost}, job))
    assert len(scene.submitted) == runs
    if runs:
        assert execution.plan is None
        return
    assert execution.plan is not None
    assert execution.plan.buried is not None
    assert execution.plan.buried.reason == "crashed"
    letter = read(execution.plan.publishes[0].message, "q", NOW)
    assert (letter.reason, letter.crashes, letter.error) == ("crashed", lost + crashes, told(lost, crashes))
    (refused,) = scene.events
    assert isinstance(refused, JobRefused)
    assert refused.reason == "crashed"


def test_a_job_that_goes_on_takes_its_lost_workers_along() -> None:
    job = Scene().runner.accept(delivery({"x-acquired-count": 2, "x-delivery-count": 2}, replace(JOB, crashes=1)), "q")
    assert isinstance(job, Job)
    following = to_message(job.next_attempt("no", failed=True))
    assert following.headers["warren-crashes"] == 3
    assert "x-delivery-count" not in following.headers
