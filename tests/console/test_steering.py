"""Who should have answered, and what is said of answers."""

import msgspec
import pytest
from tests.console.fleets import a_job, a_status

from warren.console import steering_telling
from warren.console.fleet import Member
from warren.console.steering import missing
from warren.control import Reply
from warren.status import WorkerState
from warren.steering import Draining, ProcessStacks, Recycling, Resized, Stacks

ALPHA, BETA = Member(a_status("alpha"), 1.0, None), Member(a_status("beta"), 1.0, None)
SILENT = Member(a_status("gamma"), 30.0, None)
STOPPED = Member(a_status("delta", state=WorkerState.STOPPED), 5.0, None)


def replies(*workers: str) -> list[Reply]:
    return [Reply(worker, msgspec.Raw(b"{}")) for worker in workers]


def test_who_works_or_fell_silent_should_have_answered_and_who_stopped_need_not() -> None:
    assert missing([ALPHA, BETA, SILENT, STOPPED], replies("beta")) == (ALPHA, SILENT)
    assert missing([ALPHA], replies("alpha", "somebody new")) == ()


def test_of_two_with_one_name_one_answer_leaves_the_one_that_is_silent() -> None:
    gone = Member(a_status("alpha", pid=7), 30.0, None)
    assert missing([gone, ALPHA], replies("alpha")) == (gone,)
    assert missing([gone, ALPHA], replies("alpha", "alpha")) == ()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Draining(0, 30.0, already=False), "alpha ends: it runs nothing"),
        (Draining(0, 30.0, already=True), "alpha ends already: it runs nothing"),
        (Draining(1, 30.0, already=False), "alpha takes no more jobs: 1 job has 30 s to finish"),
        (Draining(2, 0.5, already=False), "alpha takes no more jobs: 2 jobs have 0.5 s to finish"),
        (Draining(1, 30.0, already=True), "alpha drains already: 1 job still runs"),
    ],
)
def test_what_a_worker_answers_that_drains(answer: Draining, text: str) -> None:
    assert steering_telling.draining("alpha", answer) == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Resized(2, 4), "alpha goes from 2 to 4 processes"),
        (Resized(4, 1), "alpha goes from 4 to 1 process; those too many leave when they have finished"),
        (Resized(2, 2), "alpha has 2 processes already"),
        (Resized(2, 2, "it is about to end"), "alpha keeps 2 processes: it is about to end"),
    ],
)
def test_what_a_worker_answers_that_is_resized(answer: Resized, text: str) -> None:
    assert steering_telling.resized("alpha", answer) == text


def test_what_a_worker_answers_that_replaces_its_processes() -> None:
    told = steering_telling.recycling("alpha", Recycling(2))
    assert told == "alpha replaces 2 processes, each when it has finished what it runs"
    assert steering_telling.recycling("alpha", Recycling(0, "it ends")) == "alpha replaces nothing: it ends"


def test_stacks_stand_below_the_jobs_they_belong_to() -> None:
    answer = Stacks(
        (
            ProcessStacks(0, 200, (a_job(1, done=1, total=3),), "Current thread:\n  File a.py"),
            ProcessStacks(1, 201, (), ""),
        )
    )
    assert steering_telling.stacks("alpha", answer).splitlines() == [
        "── alpha, slot 0, pid 200",
        f"   m:f {a_job(1).id}, attempt 1 1/3",
        "   Current thread:",
        "     File a.py",
        "",
        "── alpha, slot 1, pid 201",
        "   runs nothing",
        "   it did not answer: it starts, leaves, or has just ended",
    ]
    told = steering_telling.document("alpha", answer)
    assert (told["worker"], told["processes"][0]["jobs"][0]["since"]) == ("alpha", "2023-11-14T22:13:10.000Z")


def test_why_nobody_answers_is_said() -> None:
    assert "it crashed" in steering_telling.unanswered(SILENT, 5)
    assert "/livez" in steering_telling.unanswered(ALPHA, 5)
    assert "did you mean 'alpha'?" in steering_telling.unknown("alpah", [ALPHA, BETA], 60)
    assert "none said anything in the last 60 s" in steering_telling.unknown("", [], 60)
