"""Calls become messages and results become values; nothing here does I/O."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.producer.hands import NAMES, NOW, double, ended, job_of, later, silent

from warren import delay, errors
from warren.job import from_message, id_time
from warren.options import OptionsDict
from warren.producer.core import Composer, Outgoing, check_waitable, value_of
from warren.states import JobState
from warren.task import named

deterministic = settings(deadline=None, derandomize=True, database=None)


def composer(limit: int = 10_000) -> Composer:
    return Composer(NAMES, "reply-key", limit)


def compose(options: OptionsDict | None = None) -> Outgoing:
    task = double.options(**options) if options else double
    return composer().call(task.call(1, by=3), NOW)


def test_a_call_is_addressed_to_its_queue() -> None:
    sent = compose()
    assert sent.address(NAMES, NOW + 5) == (NAMES.jobs, "default")
    assert (sent.delayed, sent.kind.result_type) == (False, int)
    assert (sent.job.enqueued_at, sent.job.ready_at, sent.job.reply_to) == (NOW, NOW, "reply-key")
    assert id_time(sent.job.id) == NOW
    assert msgspec.json.decode(sent.message.body) == {"task": double.name, "args": [1], "kwargs": {"by": 3}}


@deterministic
@given(seconds=st.floats(0.001, 1e6))
def test_a_delayed_call_is_addressed_to_the_levels(seconds: float) -> None:
    sent = compose({"delay": seconds, "priority": 5, "expires": 60, "deadline": 90})
    assert sent.address(NAMES, NOW) == delay.route(NAMES, "default", NOW + seconds - NOW)
    assert sent.delayed
    assert sent.message.priority is None
    job = from_message(sent.message, "default", NOW)
    assert job.priority == 5
    assert job.ready_at == pytest.approx(NOW + seconds, abs=0.001)
    assert job.expires_at == pytest.approx(NOW + seconds + 60, abs=0.001)
    assert job.deadline_at == pytest.approx(NOW + seconds + 90, abs=0.001)


@pytest.mark.parametrize(
    "options", [{"delay": 0}, {"at": datetime.fromtimestamp(NOW - 60, UTC)}, {"delay": timedelta(0)}], ids=repr
)
def test_what_is_due_already_goes_to_its_queue(options: Any) -> None:
    assert not compose(options).delayed


def test_a_silent_task_has_nobody_to_reply_to() -> None:
    job = composer().call(silent.call("a"), NOW).job
    assert (job.reply_to, job.wants_result) == (None, False)
    with pytest.raises(errors.NoResult):
        check_waitable(job)


@deterministic
@given(items=st.lists(st.integers(), max_size=40), size=st.integers(1, 9))
def test_a_map_is_cut_into_chunks_that_hold_every_item_once(items: list[int], size: int) -> None:
    chunks = list(composer().chunks(double, items, size, {"by": 3}, NOW))
    found = [[msgspec.json.decode(item) for item in chunk.job.body.items or ()] for chunk in chunks]
    assert [item for chunk in found for item in chunk] == items
    assert all(len(chunk) == size for chunk in found[:-1])
    assert all(msgspec.json.decode(chunk.message.body)["kwargs"] == {"by": 3} for chunk in chunks)
    assert len({chunk.job.id for chunk in chunks}) == len(chunks)


def test_chunks_are_made_as_they_are_asked_for() -> None:
    read: list[int] = []

    def items() -> Any:
        for number in range(1000):
            read.append(number)
            yield number

    chunks = composer().chunks(double, items(), 10, {}, NOW)
    assert next(iter(chunks)).job.body.items
    assert len(read) == 10


def test_the_limit_is_of_the_message() -> None:
    exact = len(compose().message.body)
    assert composer(exact).call(double.call(1, by=3), NOW)
    with pytest.raises(errors.PayloadTooLarge, match="nothing was sent"):
        composer(exact - 1).call(double.call(1, by=3), NOW)


def test_a_job_that_exists_already_keeps_everything_but_its_time() -> None:
    job = replace(compose({"priority": 3}).job, replays=1)
    again = composer().again(job, NOW + 5)
    assert again.job == replace(job, ready_at=NOW + 5, first_ready_at=NOW + 5)
    assert (again.address(NAMES, NOW), again.message.message_id) == ((NAMES.jobs, "default"), job.id)


@deterministic
@given(late=st.floats(0, 200))
def test_a_delayed_job_that_is_sent_late_waits_only_for_what_is_left(late: float) -> None:
    sent = compose({"delay": 100})
    left = NOW + 100 - (NOW + late)
    expected = delay.route(NAMES, "default", left) if left > 0 else (NAMES.jobs, "default")
    assert sent.address(NAMES, NOW + late) == expected


def test_a_named_task_gives_whatever_came() -> None:
    sent = composer().call(named("shop:f").call({"a": [1]}), NOW)
    assert sent.kind.result_type is Any


def test_a_result_is_rebuilt_or_raised() -> None:
    job = job_of("id")
    done = ended(job, JobState.DONE, value=msgspec.Raw(b'"2024-01-01T00:00:00Z"'))
    assert value_of(job, done, datetime) == datetime(2024, 1, 1, tzinfo=UTC)
    assert value_of(job, done, Any) == "2024-01-01T00:00:00Z"
    with pytest.raises(errors.JobFailed, match="return annotation"):
        value_of(job, done, int)
    for state, error in (
        (JobState.DEAD, errors.JobFailed),
        (JobState.CANCELLED, errors.JobCancelled),
        (JobState.EXPIRED, errors.JobExpired),
    ):
        with pytest.raises(error, match="id"):
            value_of(job, ended(job, state), int)


def test_a_task_of_one_argument_can_be_mapped_over_anything() -> None:
    assert len(list(composer().chunks(later, (str(number) for number in range(5)), 2, {}, NOW))) == 3
