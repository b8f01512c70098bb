"""What is known of a job does not depend on the order in which it was told, nor on how often."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.telling import FACTS, fold

from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, Progressed, Started
from warren.store.merging import CUT, PAYLOAD_LENGTH, VALUE_LENGTH, join, of

PLACE = ("the-id", "m:f", "q", 0)


def enqueued(attempt: int = 1, *, replays: int = 0, ready_at: float = 10.0, payload: str = '{"args":[1]}') -> Enqueued:
    return Enqueued("the-id", "m:f", "q", replays, attempt, 10.0, ready_at, payload)


def ended(state: JobState, attempt: int = 1, at: float = 30.0, replays: int = 0, **more: object) -> Ended:
    return Ended("the-id", "m:f", "q", replays, attempt, at, state, **more)  # type: ignore[arg-type]


@given(st.lists(FACTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(facts: list[Fact], random: Random) -> None:
    told = facts + facts[::2]
    random.shuffle(told)
    assert fold(told) == fold(facts)


@given(FACTS, FACTS, FACTS)
def test_join_is_commutative_associative_and_idempotent(a: Fact, b: Fact, c: Fact) -> None:
    one, other, third = of(a), of(b), of(c)
    assert join(one, other) == join(other, one)
    assert join(join(one, other), third) == join(one, join(other, third))
    assert join(one, one) == one


def test_the_way_of_a_job_is_followed() -> None:
    way: list[tuple[Fact, JobState]] = [
        (enqueued(), JobState.QUEUED),
        (Started(*PLACE, 1, 11.0, "w"), JobState.RUNNING),
        (AttemptEnded(*PLACE, 1, 12.0, "w", "retry", "no", ready_at=99.0), JobState.DELAYED),
        (enqueued(2, ready_at=99.0), JobState.DELAYED),
        (Started(*PLACE, 2, 99.0, "w"), JobState.RUNNING),
        (GivenBack(*PLACE, 2, 99.5, "w"), JobState.QUEUED),
        (Started(*PLACE, 2, 99.7, "v"), JobState.RUNNING),
        (ended(JobState.DEAD, 2), JobState.DEAD),
        (enqueued(replays=1), JobState.QUEUED),
        (ended(JobState.DONE, replays=1), JobState.DONE),
    ]
    for length, (_, state) in enumerate(way, 1):
        now = 100.0 if length > 4 else 50.0
        assert fold([fact for fact, _ in way[:length]]).state(now) == state, f"after {length} facts"


def test_a_job_that_was_not_delayed_is_queued_by_any_clock() -> None:
    assert of(enqueued(ready_at=10.0)).state(5.0) == JobState.QUEUED
    assert of(enqueued(ready_at=11.0)).state(5.0) == JobState.DELAYED
    assert of(enqueued(2, ready_at=10.0)).state(5.0) == JobState.DELAYED


def test_a_delay_that_is_over_is_a_queued_job() -> None:
    record = of(enqueued(ready_at=60.0))
    assert record.state(59.0) == JobState.DELAYED
    assert record.state(60.0) == JobState.QUEUED


def test_an_end_is_not_undone_by_what_comes_late() -> None:
    late: list[Fact] = [
        Started(*PLACE, 1, 40.0, "w"),
        Progressed(*PLACE, 1, 41.0, 1),
        GivenBack(*PLACE, 1, 42.0, "w"),
        enqueued(2),
    ]
    assert fold([ended(JobState.CANCELLED, 0), *late]).state(50.0) == JobState.CANCELLED


def test_a_job_that_was_cancelled_and_ran_all_the_same_is_done() -> None:
    assert fold([ended(JobState.CANCELLED, 0), ended(JobState.DONE, 1)]).state(50.0) == JobState.DONE


def test_two_that_tell_of_one_end_complete_each_other() -> None:
    event = ended(JobState.DEAD, at=30.5, reason="failed", started_at=20.0, worker="w")
    result = ended(JobState.DEAD, at=30.0, error="no", error_type="ValueError", traceback="…")
    record = fold([event, result])
    assert record.ended is not None
    assert (record.ended.reason, record.ended.error, record.ended.error_type) == ("failed", "no", "ValueError")
    assert record.ended.at == 30.0
    assert (record.started.at, record.started.worker) == (20.0, "w")


def test_arguments_are_those_of_the_first_message() -> None:
    whole, rest = enqueued(payload='{"args":["all"]}'), enqueued(2, payload='{"args":["rest"]}')
    assert fold([rest, whole]).first == of(whole).first


def test_a_job_whose_message_nobody_saw_is_known_by_what_others_say() -> None:
    record = of(Started(*PLACE, 1, 11.0, "w"))
    assert (record.task, record.queue, record.enqueued_at) == ("m:f", "q", 11.0)
    assert math.isinf(fold([Started(*PLACE, 1, 11.0, "w"), enqueued()]).heard_at)


@pytest.mark.parametrize("length", [PAYLOAD_LENGTH, PAYLOAD_LENGTH + 1])
def test_long_arguments_are_kept_in_part_and_marked(length: int) -> None:
    first = of(enqueued(payload="x" * length)).first
    assert first is not None
    assert first.payload.startswith(CUT) == (length > PAYLOAD_LENGTH)


def test_a_long_value_is_not_kept_and_its_length_is() -> None:
    end = of(ended(JobState.DONE, value="1" * (VALUE_LENGTH + 1))).ended
    assert end is not None
    assert end.value == f"{CUT}{VALUE_LENGTH + 1}"


def test_text_that_no_database_takes_is_replaced() -> None:
    end = of(ended(JobState.DEAD, error="a\0b", reason="\ud800")).ended
    assert end is not None
    assert (end.error, end.reason) == ("a\N{REPLACEMENT CHARACTER}b", "?")


def test_a_job_does_not_end_running() -> None:
    with pytest.raises(ValueError, match="running"):
        ended(JobState.RUNNING)
