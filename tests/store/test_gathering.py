"""What facts tell is gathered job by job, and a message that cannot be read leaves nothing behind."""

import msgspec
import pytest

from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, ItemsEnded
from warren.store.gathering import Gathering, gather

PLACE = "m:f", "q", 0, 1


def enqueued(job_id: str) -> Enqueued:
    return Enqueued(job_id, *PLACE, 1.0, 1.0)


def test_facts_of_one_job_are_one_record_in_whatever_order() -> None:
    told: list[Fact] = [enqueued("a"), Ended("a", *PLACE, 2.0, JobState.DONE), enqueued("b")]
    forth, back = gather(told), gather(told[::-1])
    assert forth.records == back.records
    assert [(job_id, record.state(9.0)) for job_id, record in forth.records.items()] == [
        ("a", JobState.DONE),
        ("b", JobState.QUEUED),
    ]


def test_an_attempt_or_a_part_that_is_told_twice_is_one_row() -> None:
    attempt = AttemptEnded("a", *PLACE, 2.0, "w", "retry", "no")
    part = ItemsEnded("a", *PLACE, 2.0, {0: msgspec.Raw(b"1")})
    gathered = gather([attempt, part, attempt, part])
    assert [row[:5] for row in gathered.attempts] == [("a", 0, 1, 2.0, "retry")]
    assert [row[0] for row in gathered.items] == ["a"]


def test_of_facts_of_which_one_cannot_be_taken_none_is() -> None:
    gathering = Gathering()
    gathering.add([enqueued("a")])
    with pytest.raises(TypeError):
        gathering.add([AttemptEnded("b", *PLACE, 2.0, "w", "retry", "no"), enqueued(3)])  # type: ignore[arg-type]
    gathered = gathering.gathered()
    assert list(gathered.records) == ["a"]
    assert not gathered.attempts
