"""A job's message: whatever we write we read back, and whatever others write is a job or says why not."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.common.strategies import jobs, moments, plain, texts

from warren.amqp.seam import Message
from warren.job import Body, Job, Undecodable, foreign_headers, from_message, id_time, new_id, to_message

NOW = 1_700_000_000.0


def read(body: bytes | object = b'{"task": "m:f"}', /, queue: str = "q", **headers: object) -> Job:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_message(Message(data, headers=named), queue, NOW)


def refusal(body: bytes | object = b'{"task": "m:f"}', /, **headers: object) -> str:
    with pytest.raises(Undecodable) as refused:
        read(body, "q", **headers)
    assert refused.value.reason == "undecodable"
    assert refused.value.detail == str(refused.value)
    return refused.value.detail


# --- there and back --------------------------------------------------------------------------------------------------


@given(jobs)
def test_a_job_survives_its_message(job: Job) -> None:
    found = from_message(to_message(job), job.queue, NOW)
    assert plain(found.body) == plain(job.body)
    assert replace(found, body=job.body) == job


@given(jobs)
def test_a_message_without_amqp_priority_still_tells_it(job: Job) -> None:
    delayed = replace(to_message(job), priority=None)
    assert from_message(delayed, job.queue, NOW).priority == job.priority


def test_properties_are_in_their_standard_places() -> None:
    job = Job("id", Body("m:f"), "q", enqueued_at=12.75, ready_at=13.5, priority=3, reply_to="r")
    message = to_message(job)
    assert (message.message_id, message.type, message.priority, message.reply_to) == ("id", "m:f", 3, "r")
    assert (message.timestamp, message.content_type, message.app_id) == (12, "application/json", "warren")
    assert message.headers["warren-enqueued-at"] == 12750
    assert message.headers["warren-ready-at"] == 13500


def test_a_body_says_no_more_than_it_must() -> None:
    assert to_message(Job("id", Body("m:f"), "q")).body == b'{"task":"m:f"}'


@given(task=texts.filter(bool).map(lambda text: text * 60))
def test_a_long_task_name_fits_into_the_type_property(task: str) -> None:
    assert len((to_message(Job("id", Body(task), "q")).type or "").encode()) <= 255


def test_a_next_attempt_counts_what_happened() -> None:
    job = Job("id", Body("m:f"), "q")
    failed, crashed, later = (
        job.next_attempt("e", failed=True),
        job.next_attempt("e", crashed=True),
        job.next_attempt(""),
    )
    assert (failed.attempt, failed.failures, failed.crashes, failed.last_error) == (2, 1, 0, "e")
    assert (crashed.attempt, crashed.failures, crashed.crashes) == (2, 0, 1)
    assert (later.attempt, later.failures, later.crashes) == (2, 0, 0)
    assert len(job.next_attempt("x" * 9999).last_error) == 1000


def test_an_execution_is_told_from_any_other_by_id_attempt_and_replays() -> None:
    job = Job("id", Body("m:f"), "q")
    others = [replace(job, id="x"), replace(job, attempt=2), replace(job, replays=1)]
    assert len({one.key for one in (job, *others)}) == 4


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_body_typed_by_hand_is_a_job() -> None:
    job = read({"task": "m:f", "args": [1, "a"], "kwargs": {"b": None}}, queue="images")
    assert (job.task, job.queue, job.attempt, job.failures, job.crashes) == ("m:f", "images", 1, 0, 0)
    assert (job.enqueued_at, job.ready_at, job.expires_at, job.priority) == (NOW, NOW, None, None)
    assert (job.reply_to, job.wants_result, job.foreign) == (None, True, {})
    assert id_time(job.id) == NOW


def test_an_id_and_a_timestamp_are_taken_when_given() -> None:
    job = from_message(Message(b'{"task": "a"}', message_id="mine", timestamp=7), "q", NOW)
    assert (job.id, job.enqueued_at, job.ready_at) == ("mine", 7.0, 7.0)


def test_items_make_a_chunk_with_places() -> None:
    assert read({"task": "a", "items": [1, 2, 3]}).body.places() == [0, 1, 2]
    assert read({"task": "a", "items": [1, 2], "indexes": [7, 3]}).body.places() == [7, 3]
    assert read({"task": "a"}).body.places() == []


# --- what is no job --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "truncated"),
        (b"\x00\x01\xff\xfe", "malformed"),
        (b"\x80\x04\x95\x00", "malformed"),
        (b"hello", "malformed"),
        (b'{"task": "a"', "truncated"),
        (b'{"task": "a"} x', "trailing"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b'"task"', "Expected `object`"),
        (b"{}", "missing required field `task`"),
        (b'{"task": 1}', "Expected `str`"),
        (b'{"task": null}', "Expected `str`"),
        (b'{"task": ""}', "`task` is empty"),
        (b'{"task": "a", "args": {}}', "$.args"),
        (b'{"task": "a", "kwargs": []}', "$.kwargs"),
        (b'{"task": "a", "items": {}}', "$.items"),
        (b'{"task": "a", "arg": []}', "unknown field `arg`"),
        (b'{"task": "a", "indexes": [0]}', "`indexes` does not match"),
        (b'{"task": "a", "items": [1], "indexes": []}', "`indexes` does not match"),
        (b'{"task": "a", "items": [1, 2], "indexes": [0, 0]}', "`indexes` does not match"),
        (b'{"task": "a", "items": [1], "indexes": [-1]}', "`indexes`"),
        (b'{"task": "a", "items": [1], "indexes": ["0"]}', "$.indexes"),
        (b'{"task": "\xff"}', "invalid"),
        (b'{"task": "\\ud800"}', "no job"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"task": "a", "args": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        (b'{"task": "a", "kwargs": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "recursion"),
        (b'{"task": "a", "no": ' + b"[" * 100_000 + b"}", "no job"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_is_no_job_says_why(body: bytes, told: str) -> None:
    assert told.lower() in refusal(body).lower()
    assert len(refusal(body)) < 300


@given(st.binary(max_size=50))
def test_any_bytes_are_a_job_or_undecodable(data: bytes) -> None:
    try:
        task = read(data).task
    except Undecodable as error:
        task = error.detail
    assert task


COUNTED = [
    "attempt",
    "failures",
    "crashes",
    "enqueued-at",
    "ready-at",
    "expires-at",
    "deadline-at",
    "replays",
    "priority",
]


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("value", ["1", 1.5, -1, True, None, [1], {"a": 1}, b"1"], ids=repr)
def test_a_number_of_ours_that_is_none_is_refused_by_name(name: str, value: object) -> None:
    assert f"'warren-{name}'" in refusal(**{f"warren-{name}": value})


def test_a_refusal_does_not_repeat_a_huge_header() -> None:
    assert len(refusal(warren_attempt="x" * 10_000)) < 300


@pytest.mark.parametrize("limits", ["{", "[]", '{"attempts": "x"}', '{"colour": 1}', f'{{"max_crashes": {10**30}}}'])
def test_limits_that_are_none_are_refused(limits: str) -> None:
    assert "'warren-limits' is not understood" in refusal(warren_limits=limits)


def test_a_job_says_to_which_node_of_which_workflow_it_belongs_and_its_retries_do() -> None:
    job = Job(id="1", body=Body("t"), queue="q", workflow="w", node="clean").next_attempt("failed")
    again = from_message(to_message(job), "q", 0.0)
    assert (again.workflow, again.node) == ("w", "clean")


def test_a_text_of_ours_that_is_none_is_left_out() -> None:
    assert read(warren_last_error=b"\xff").last_error == ""


# --- headers of others -----------------------------------------------------------------------------------------------


def test_headers_of_others_are_carried_and_the_brokers_own_are_not() -> None:
    headers = {
        "traceparent": "00-1",
        "tenant": 7,
        "beta": True,
        "x-death": [{"queue": "q"}],
        "x-delivery-count": 3,
        "x-first-death-reason": "expired",
        "warren-colour": "red",
        "list": [1],
        "table": {"a": 1},
        "float": 1.5,
        "bytes": b"1",
        "nothing": None,
    }
    kept = {"traceparent": "00-1", "tenant": 7, "beta": True}
    assert foreign_headers(headers) == kept
    job = from_message(Message(b'{"task": "a"}', headers=headers), "q", NOW)
    assert job.foreign == kept
    sent = to_message(job).headers
    assert not [name for name in sent if name.startswith("x-")]
    assert "warren-colour" not in sent


@pytest.mark.parametrize("attempt", [1, 4])
def test_our_headers_cannot_be_overwritten_by_others(attempt: int) -> None:
    job = Job("id", Body("m:f"), "q", attempt=attempt, foreign={"warren-attempt": 9})
    assert to_message(job).headers.get("warren-attempt", 1) == attempt


def test_a_job_that_is_enqueued_to_run_now_says_only_when_that_was() -> None:
    job = Job("id", Body("m:f"), "q", enqueued_at=NOW, ready_at=NOW, first_ready_at=NOW)
    assert to_message(job).headers == {"warren-enqueued-at": round(NOW * 1000)}


@given(st.dictionaries(texts, texts.map(lambda text: text * 200)))
def test_headers_of_others_are_carried_only_as_far_as_they_fit(headers: dict[str, object]) -> None:
    kept = foreign_headers(headers)
    assert sum(len(name.encode()) + len(str(value).encode()) for name, value in kept.items()) <= 16_384
    assert kept.items() <= headers.items()


def test_only_a_plain_false_means_no_result() -> None:
    assert not read(warren_result=False).wants_result
    assert read(warren_result=0).wants_result
    assert read(warren_result="no").wants_result


# --- ids -------------------------------------------------------------------------------------------------------------


@given(moments, moments)
def test_ids_sort_by_time(one: float, other: float) -> None:
    if int(one * 1000) != int(other * 1000):
        assert (new_id(one) < new_id(other)) == (one < other)


@given(moments)
def test_an_id_is_a_uuid7_that_tells_its_time(moment: float) -> None:
    made = new_id(moment)
    found = uuid.UUID(made)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert id_time(made) == int(moment * 1000) / 1000


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id(NOW) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("other", ["", "hello", str(uuid.UUID(int=0)), "7d444840-9dc0-11d1-b245-5ffdce74fad2"])
def test_other_ids_tell_no_time(other: str) -> None:
    assert id_time(other) is None


def test_times_that_say_nothing_new_are_left_out_and_read_back() -> None:
    plain = Job("id", Body("m:f"), "q", enqueued_at=5.0, ready_at=5.0, first_ready_at=5.0)
    retried = replace(plain, ready_at=9.0)
    assert {name for name in to_message(plain).headers if name.endswith("-at")} == {"warren-enqueued-at"}
    assert {name for name in to_message(retried).headers if name.endswith("-at")} == {
        "warren-enqueued-at",
        "warren-ready-at",
        "warren-first-ready-at",
    }
    for job in (plain, retried):
        found = from_message(to_message(job), "q", NOW)
        assert (found.enqueued_at, found.ready_at, found.first_ready_at) == (5.0, job.ready_at, 5.0)
