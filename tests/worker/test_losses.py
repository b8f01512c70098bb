"""Workers that were lost with a job count towards its `max_crashes`, and nothing else that a broker counts does."""

import random
from typing import Any, cast

import pytest
from msgspec.structs import replace

from warren.amqp.seam import Delivery, Message
from warren.dead_letter import read
from warren.events import Event, Events, JobLost, JobRefused
from warren.job import Body, Job, from_message, to_message
from warren.limits import Limits
from warren.topology import Names
from warren.worker.execution import Execution, Runner, key_of
from warren.worker.frames import Run, TaskInfo
from warren.worker.losses import told, was_lost
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
        ({}, False),
        ({"x-acquired-count": 3}, False),
        ({"x-acquired-count": 3, "x-delivery-count": 0}, False),
        ({"x-acquired-count": 3, "x-delivery-count": 2}, True),
        ({"x-delivery-count": 19}, False),
        ({"x-acquired-count": 1, "x-delivery-count": -1}, False),
        ({"x-acquired-count": 1, "x-delivery-count": "2"}, False),
    ],
    ids=str,
)
def test_only_a_delivery_that_is_known_to_have_failed_counts(headers: dict[str, object], *, lost: bool) -> None:
    assert was_lost(delivery(headers)) is lost
    assert not was_lost(delivery(headers, redelivered=False)), "what a publisher says is not believed"


def test_why_is_told_in_words() -> None:
    assert told(replace(JOB, crashes=3, losses=3)) == "its worker or process was lost 3 times while it had this job"
    expected = "its worker or process was lost once while it had this job, after it had ended its process 2 times"
    assert told(replace(JOB, crashes=3, losses=1)) == expected


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
        job = self.runner.accept(came.message, "q")
        assert isinstance(job, Job)
        execution = Execution(cast("Any", None), came, 0, key_of(job, came.message), "q", job.task)
        self.runner.start(execution, job, lambda _: None)
        return execution


@pytest.mark.parametrize(
    ("job", "outcome", "reason"),
    [
        (replace(JOB, deadline_at=NOW - 1), "expired", "expired"),
        (replace(JOB, deadline_at=NOW - 1, attempt=2, failures=1, last_error="ValueError: no"), "rejected", "deadline"),
    ],
    ids=["never tried", "tried"],
)
def test_a_job_that_comes_after_its_deadline_has_expired_only_if_it_was_never_tried(
    job: Job, outcome: str, reason: str
) -> None:
    scene = Scene()
    execution = scene.take(delivery({}, job))
    assert scene.submitted == []
    assert execution.plan is not None
    letter = read(execution.plan.publishes[0].message, "q", NOW)
    assert [(event.outcome, event.reason) for event in scene.events if isinstance(event, JobRefused)] == [
        (outcome, reason)
    ]
    assert letter.reason == reason


LOST: dict[str, object] = {"x-acquired-count": 7, "x-delivery-count": 7}


def test_a_lost_worker_is_written_into_its_job_once_whatever_the_broker_counts() -> None:
    scene = Scene()
    execution = scene.take(delivery(LOST, replace(JOB, crashes=1, attempt=2)))
    assert not scene.submitted
    assert execution.plan is not None
    (again,) = execution.plan.publishes
    assert again.delayed
    job = from_message(again.message, "q", NOW)
    assert (job.id, job.attempt, job.crashes, job.losses) == (JOB.id, 2, 2, 1)
    assert "x-delivery-count" not in again.message.headers
    assert scene.events == [JobLost("1", "m:f", "q", 2, attempt=2)]


def test_what_was_lost_together_comes_back_apart() -> None:
    scene, waits = Scene(), set()
    for _ in range(20):
        plan = scene.take(delivery(LOST)).plan
        assert plan is not None
        assert plan.publishes[0].delayed
        assert plan.retry_in is not None
        assert 2 <= plan.retry_in <= 4
        waits.add(plan.retry_in)
    assert len(waits) == 20


@pytest.mark.parametrize(
    ("crashes", "losses", "limits", "dies"),
    [
        (1, 0, None, False),
        (2, 2, None, True),
        (2, 0, None, True),
        (2, 2, Limits(max_crashes=4), False),
        (0, 0, Limits(max_crashes=1), False),
        (1, 1, Limits(max_crashes=1), True),
    ],
)
def test_lost_workers_and_crashes_together_reach_max_crashes(
    crashes: int, losses: int, limits: Limits | None, *, dies: bool
) -> None:
    scene = Scene()
    execution = scene.take(delivery(LOST, replace(JOB, crashes=crashes, losses=losses, limits=limits)))
    assert not scene.submitted
    assert execution.plan is not None
    assert (execution.plan.buried is not None) is dies
    if dies:
        letter = read(execution.plan.publishes[0].message, "q", NOW)
        assert (letter.reason, letter.crashes) == ("crashed", crashes + 1)
        assert letter.error == told(replace(JOB, crashes=crashes + 1, losses=losses + 1))
        (refused,) = scene.events
        assert isinstance(refused, JobRefused)
        assert refused.reason == "crashed"


def test_what_had_not_begun_here_when_the_connection_was_lost_runs_uncharged() -> None:
    scene = Scene()
    came = delivery(LOST)
    job = from_message(came.message, "q", NOW)
    execution = Execution(cast("Any", None), came, 0, key_of(job, came.message), "q", job.task, spared=True)
    scene.runner.start(execution, job, lambda _: None)
    assert execution.plan is None
    assert len(scene.submitted) == 1


def test_what_was_given_back_runs() -> None:
    scene = Scene()
    assert scene.take(delivery({"x-acquired-count": 9}, replace(JOB, crashes=2))).plan is None
    assert scene.take(delivery({"x-delivery-count": 9}, replace(JOB, crashes=9))).plan is None
    assert len(scene.submitted) == 2
