"""Dead letters: the job as it came with its evidence, whoever wrote it; revived they begin anew."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.common.strategies import jobs, moments, plain, texts

from warren.amqp.seam import Message
from warren.dead_letter import Evidence, bury, read, revived
from warren.delay import route
from warren.job import Body, Job, to_message
from warren.outcome import Failure
from warren.topology import Names

NOW = 1_700_000_000.0
NAMES = Names()
JOB = Job("the-id", Body("m:f"), "images", attempt=5, failures=4, crashes=1, enqueued_at=NOW - 60, ready_at=NOW - 50)
evidences = st.builds(
    Evidence,
    reason=texts.filter(bool),
    failure=st.builds(Failure, texts, texts, texts),
    worker=texts,
    died_at=moments,
    signal=st.none() | st.integers(1, 64),
    exit_code=st.none() | st.integers(0, 255),
    max_rss=st.integers(0, 2**40),
    output=texts,
    stack=texts,
    oom=st.none() | st.booleans(),
)


# --- ours ------------------------------------------------------------------------------------------------------------


@given(jobs, evidences)
def test_a_buried_job_is_read_back_with_its_evidence(job: Job, evidence: Evidence) -> None:
    dead = read(bury(to_message(job), job.queue, evidence, job), job.queue, NOW)
    assert (dead.id, dead.task, dead.queue, dead.replays) == (job.id, job.task, job.queue, job.replays)
    assert (dead.attempts, dead.crashes, dead.enqueued_at) == (job.attempt, job.crashes, job.enqueued_at)
    assert (dead.reason, dead.worker, dead.died_at) == (evidence.reason, evidence.worker, evidence.died_at)
    assert Failure(dead.error_type, dead.error, dead.traceback) == evidence.failure
    assert (dead.signal, dead.exit_code, dead.max_rss) == (evidence.signal, evidence.exit_code, evidence.max_rss)
    assert (dead.output, dead.stack, dead.oom) == (evidence.output, evidence.stack, evidence.oom)
    assert dead.items == (None if job.body.items is None else len(job.body.items))
    assert dead.job is not None
    assert plain(dead.job.body) == plain(job.body)
    assert replace(dead.job, body=job.body) == job


def test_long_evidence_is_cut_so_that_it_fits_into_a_frame() -> None:
    def crowd(sign: str, size: int) -> Message:
        failure = Failure(sign * size, sign * size, "first" + sign * size + "last")
        said, stack = sign * size + "the end", "the top" + sign * size
        evidence = Evidence("failed", failure, "w", NOW, 11, 3, 1 << 40, said, stack, True)
        job = replace(JOB, last_error=sign * 1000, foreign={"theirs": "x" * 16_384})
        return bury(to_message(job), "q", evidence, job)

    dead = read(crowd("m", 100_000), "q", NOW)
    assert dead.traceback.endswith("last")
    assert dead.error.startswith("mmm")
    assert dead.output.endswith("mthe end")
    assert dead.stack.startswith("the topm")
    assert (len(dead.output), len(dead.stack)) == (4096, 8192)
    widest = crowd("\N{PILE OF POO}", 100_000)
    assert sum(len(f"{name}{value}".encode()) for name, value in widest.headers.items()) < 120_000


@given(st.binary(max_size=40), texts)
def test_bytes_that_are_no_job_are_kept_as_they_came(body: bytes, detail: str) -> None:
    raw = Message(body, headers={"tenant": "a", "x-delivery-count": 3}, expiration=5, content_type="text/plain")
    evidence = Evidence("undecodable", Failure("", detail), "w", NOW)
    buried = bury(raw, "q", evidence, None)
    assert (buried.body, buried.content_type, buried.headers["tenant"]) == (body, "text/plain", "a")
    assert buried.message_id
    assert buried.expiration is None
    assert "x-delivery-count" not in buried.headers
    dead = read(buried, "q", NOW)
    assert (dead.id, dead.queue, dead.reason, dead.error) == (buried.message_id, "q", "undecodable", detail)


@pytest.mark.parametrize(
    ("body", "task"),
    [(b'{"task": "m:f", "no": 1}', "m:f"), (b'{"task": 1}', ""), (b"\xff", ""), (b"[" * 100_000, ""), (b"{}", "")],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_job_can_be_shown_and_not_revived(body: bytes, task: str) -> None:
    dead = read(Message(body), "q", NOW)
    assert (dead.task, dead.job, dead.reason) == (task, None, "unknown")
    assert revived(dead, NOW) is None


def test_a_task_name_is_shown_only_so_far() -> None:
    assert len(read(Message(b'{"task": "' + b"a" * 9999 + b'", "no": 1}'), "q", NOW).task) == 200


def test_the_type_tells_the_task_where_the_body_does_not() -> None:
    assert read(Message(b"\xff", type="m:f"), "q", NOW).task == "m:f"


def test_headers_of_the_wrong_type_are_no_evidence() -> None:
    headers = {"warren-dead-reason": 7, "warren-dead-signal": "9", "warren-dead-at": True, "warren-crashes": 1.5}
    dead = read(Message(b"{}", headers=headers), "q", NOW)
    assert (dead.reason, dead.signal, dead.died_at, dead.crashes) == ("unknown", None, None, 0)


# --- the broker's ----------------------------------------------------------------------------------------------------


def death(queue: str, reason: str, second: int = 0) -> dict[str, object]:
    return {"queue": queue, "reason": reason, "count": 1, "time": datetime.fromtimestamp(NOW + second, UTC)}


def by_broker(*deaths: object, key: str = "images", headers: dict[str, object] | None = None) -> Message:
    return replace(to_message(JOB), headers={**(headers or {}), "x-death": list(deaths)})


IMAGES = NAMES.queue("images")


@pytest.mark.parametrize(
    ("theirs", "reason", "told"),
    [
        ("expired", "expired", "AMQP expiration"),
        ("delivery_limit", "delivery_limit", "handed out too often"),
        ("maxlen", "dropped", "full"),
        ("rejected", "rejected", "rejected"),
        ("news", "news", ""),
    ],
)
def test_what_the_broker_buried_has_the_brokers_reason(theirs: str, reason: str, told: str) -> None:
    dead = read(by_broker(death(IMAGES, theirs)), "images", NOW)
    assert dead.reason == reason
    assert told in dead.error
    assert (dead.id, dead.queue, dead.died_at) == ("the-id", "images", NOW)
    assert dead.job is not None


def test_a_delayed_job_whose_queue_was_gone_is_unroutable_and_knows_its_queue() -> None:
    _, key = route(NAMES, "a.b", 5.0)
    levels = [death(NAMES.delay(level), "expired", -level) for level in (1, 4, 5)]
    dead = read(Message(b'{"task": "m:f"}', headers={"x-death": levels}), key, NOW)
    assert (dead.reason, dead.queue, dead.died_at) == ("unroutable", "a.b", NOW - 1)
    assert "did not exist" in dead.error


def test_a_job_that_expired_in_its_queue_after_a_delay_is_expired() -> None:
    deaths = [death(IMAGES, "expired"), death(NAMES.delay(3), "expired")]
    assert read(by_broker(*deaths), "images", NOW).reason == "expired"


@pytest.mark.parametrize("queue", ["a.delay.b", "delay", "x.delay.05"])
def test_a_queue_may_be_called_like_a_level(queue: str) -> None:
    assert read(by_broker(death(NAMES.queue(queue), "delivery_limit")), queue, NOW).reason == "delivery_limit"


@pytest.mark.parametrize("deaths", ["x", [1, "a"], [{}], None, {"queue": "q"}])
def test_a_strange_history_is_no_obstacle(deaths: object) -> None:
    dead = read(replace(to_message(JOB), headers={"x-death": deaths}), "images", NOW)
    assert dead.id == "the-id"
    assert dead.died_at is None


def test_our_own_reason_beats_the_brokers() -> None:
    ours = bury(to_message(JOB), "images", Evidence("failed", Failure("E", "no"), "w", NOW), JOB)
    both = replace(ours, headers={**ours.headers, "x-death": [death(IMAGES, "expired")]})
    assert read(both, "images", NOW).reason == "failed"


# --- revived ---------------------------------------------------------------------------------------------------------


@given(jobs, evidences)
def test_a_revived_job_keeps_its_id_and_begins_anew(job: Job, evidence: Evidence) -> None:
    again = revived(read(bury(to_message(job), job.queue, evidence, job), job.queue, NOW), NOW)
    assert again is not None
    assert (again.id, again.queue, again.enqueued_at) == (job.id, job.queue, job.enqueued_at)
    assert plain(again.body) == plain(job.body)
    assert (again.attempt, again.failures, again.crashes) == (1, 0, 0)
    assert (again.replays, again.ready_at, again.expires_at) == (job.replays + 1, NOW, None)
    assert (again.priority, again.reply_to, again.foreign) == (job.priority, job.reply_to, job.foreign)
    assert again.last_error.startswith(evidence.reason)


def test_a_revived_job_leaves_the_evidence_behind() -> None:
    dead = read(bury(to_message(JOB), "q", Evidence("failed", Failure("E", "no"), "w", NOW), JOB), "q", NOW)
    again = revived(dead, NOW)
    assert again is not None
    assert not [name for name in to_message(again).headers if name.startswith("warren-dead")]
