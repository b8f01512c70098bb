"""A result's message: published once, read by whoever waits and whoever keeps history."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.common.strategies import counts, moments, raws, texts

from warren import result
from warren.amqp.seam import Message
from warren.job import Body, Job, id_time
from warren.result import ItemFailure, Result
from warren.states import JobState

places = st.integers(0, 10_000)
failures = st.builds(ItemFailure, texts, texts, texts)
results = st.builds(
    Result,
    id=texts,
    task=texts,
    queue=texts,
    state=st.sampled_from(JobState),
    attempt=counts,
    finished_at=moments,
    worker=texts,
    value=raws,
    reason=texts,
    error=texts,
    error_type=texts,
    traceback=texts,
    items=st.none() | st.dictionaries(places, raws, max_size=3),
    failed=st.none() | st.dictionaries(places, failures, max_size=3),
)
JOB = Job("the-id", Body("m:f"), "q", reply_to="who")
DONE = Result("the-id", "m:f", "q", JobState.DONE, 1, 12.5)


@given(results)
def test_a_result_survives_its_message(one: Result) -> None:
    found = result.from_message(result.to_message(one, JOB)[0])
    assert found is not None
    assert msgspec.json.decode(msgspec.json.encode(found)) == msgspec.json.decode(msgspec.json.encode(one))
    assert (found.state, found.items is None, found.failed) == (one.state, one.items is None, one.failed)


def test_a_result_is_found_by_its_jobs_id_and_is_a_message_of_its_own() -> None:
    message, key = result.to_message(DONE, JOB)
    assert (message.correlation_id, message.type, message.timestamp, key) == ("the-id", "done", 12, "who")
    assert message.message_id is not None
    assert message.message_id != "the-id"
    assert id_time(message.message_id) == 12.5
    assert result.to_message(DONE, JOB)[0].message_id != message.message_id


def test_a_result_that_nobody_waits_for_is_still_for_history() -> None:
    assert result.to_message(DONE, Job("id", Body("m:f"), "q"))[1] == result.NOBODY


def test_only_the_trace_goes_on_from_the_jobs_headers() -> None:
    job = Job("id", Body("m:f"), "q", foreign={"traceparent": "00-1", "tracestate": "a=1", "tenant": 7})
    assert result.to_message(DONE, job)[0].headers == {"traceparent": "00-1", "tracestate": "a=1"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"id": 1}', b'{"id":"a","task":"b","queue":"c","state":"?"}'],
)
def test_what_is_no_result_is_none(body: bytes) -> None:
    assert result.from_message(Message(body)) is None


def test_a_field_of_a_later_version_is_no_obstacle() -> None:
    later = msgspec.json.decode(result.to_message(DONE, JOB)[0].body) | {"colour": "red"}
    found = result.from_message(Message(msgspec.json.encode(later)))
    assert found is not None
    assert found.id == "the-id"
