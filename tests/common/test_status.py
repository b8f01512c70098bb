"""A worker's status as a message: read as it was written, never too large, never trusted."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.common.strategies import moments, texts

from warren.amqp.seam import Message
from warren.status import (
    LISTED_JOBS,
    LISTED_PROCESSES,
    ProcessStatus,
    RunningJob,
    WorkerState,
    WorkerStatus,
    bounded,
    from_message,
    to_message,
)

counts = st.integers(0, 10_000)
jobs = st.builds(RunningJob, texts, texts, texts, counts, moments, st.none() | counts, st.none() | counts)
slots = st.builds(
    ProcessStatus, counts, counts, st.sampled_from(["free", "busy"]), counts, st.lists(jobs).map(tuple), counts
)
statuses = st.builds(
    WorkerStatus,
    name=texts,
    host=texts,
    pid=counts,
    version=texts,
    started_at=moments,
    at=moments,
    interval=st.just(5.0),
    state=st.sampled_from(WorkerState),
    queues=st.lists(texts).map(tuple),
    processes=counts,
    coroutines=counts,
    slots=st.lists(slots, max_size=4).map(tuple),
    ended=st.dictionaries(texts, counts),
    reconnects=counts,
    rss=counts,
)


@given(statuses)
def test_a_status_is_read_as_it_was_written(status: WorkerStatus) -> None:
    assert from_message(to_message(status)) == status


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"\xff", b'{"name": 1}', b"[" * 100_000])
def test_what_is_no_status_is_none(body: bytes) -> None:
    assert from_message(Message(body)) is None


@given(statuses)
def test_a_status_may_have_fields_of_a_later_version(status: WorkerStatus) -> None:
    told = msgspec.to_builtins(status) | {"mood": "good"}
    assert from_message(Message(msgspec.json.encode(told))) == status


@given(st.lists(slots, max_size=8))
def test_what_is_listed_are_the_jobs_that_run_longest(pool: list[ProcessStatus]) -> None:
    everything = [job for slot in pool for job in slot.jobs]
    listed = [job for slot in bounded(pool) for job in slot.jobs]
    assert len(listed) == min(LISTED_JOBS, len(everything)) or len({job.id for job in everything}) < len(everything)
    left = [job for job in everything if job not in listed]
    assert all(old.since <= young.since for old in listed for young in left)


def test_a_worker_of_any_size_says_little_and_counts_all() -> None:
    huge = [
        ProcessStatus(slot, slot + 1, "busy", 20, tuple(_job(slot * 20 + n) for n in range(20)), 1 << 30)
        for slot in range(150)
    ]
    status = _status(tuple(bounded(huge)))
    assert len(status.slots) == LISTED_PROCESSES
    assert sum(len(slot.jobs) for slot in status.slots) == LISTED_JOBS
    assert status.running == 20 * LISTED_PROCESSES
    assert len(to_message(status).body) < 64_000


def _job(number: int) -> RunningJob:
    return RunningJob(f"{number:06}" + "i" * 10_000, "t" * 10_000, "q" * 100, 1, 1000.0 + number)


def _status(pool: tuple[ProcessStatus, ...]) -> WorkerStatus:
    return WorkerStatus(
        name="w",
        host="h",
        pid=1,
        version="0",
        started_at=0.0,
        at=1.0,
        interval=5.0,
        state=WorkerState.RUNNING,
        queues=("default",),
        processes=300,
        slots=pool,
    )
