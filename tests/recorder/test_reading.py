"""From messages to facts."""

from typing import Any

import msgspec
import pytest

from warren import dead_letter, result, telling
from warren.amqp.seam import Delivery, Message
from warren.dead_letter import Evidence
from warren.delay import route
from warren.job import Body, Job, to_message
from warren.outcome import Failure
from warren.recorder.reading import NotUnderstood, Reading
from warren.result import ItemFailure, Result
from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, ItemsEnded, Progressed, Started
from warren.telling import Began, Finished, Interrupted, Lost, Reached, Refused
from warren.topology import Names

NAMES = Names("ns")
NOW = 1000.0
JOB = Job(
    "the-id",
    Body("m:f", [msgspec.Raw(b"1")], {"b": msgspec.Raw(b'"x"')}),
    "images",
    attempt=2,
    failures=1,
    last_error="no",
    enqueued_at=900.0,
    ready_at=950.0,
    first_ready_at=900.0,
    replays=1,
    workflow="w",
    node="n",
)
WHERE = ("the-id", "m:f", "images", 1, 2)


def facts(message: Message, exchange: str, key: str = "images") -> list[Fact]:
    delivery = Delivery(message, "ns.history", exchange, key, redelivered=False, tag=1, channel=None)
    return list(Reading(NAMES).facts(delivery, NOW))


def test_a_job_is_told_as_its_message_has_it() -> None:
    payload = '{"args":[1],"kwargs":{"b":"x"}}'
    told = Enqueued(*WHERE, 900.0, 950.0, payload, None, None, 1, 0, "no", "w", "n")
    assert facts(to_message(JOB), NAMES.jobs) == [told]
    exchange, key = route(NAMES, "images", 12.5)
    assert facts(to_message(JOB), exchange, key) == [told]
    dotted = route(NAMES, "a.b.c", 12.5)
    assert [fact.queue for fact in facts(to_message(JOB), *dotted)] == ["a.b.c"]


def test_of_a_chunk_the_number_of_items_is_told_and_not_the_items() -> None:
    body = Body("m:f", items=[msgspec.Raw(b"1"), msgspec.Raw(b"2")])
    (fact,) = facts(to_message(msgspec.structs.replace(JOB, body=body)), NAMES.jobs)
    assert isinstance(fact, Enqueued)
    assert (fact.items, fact.payload) == (2, '{"args":[],"kwargs":{}}')


def test_what_gets_its_id_or_its_refusal_from_a_worker_is_told_by_that() -> None:
    assert facts(Message(b'{"task": "m:f"}'), NAMES.jobs) == []
    assert facts(Message(b"no job", message_id="x"), NAMES.jobs) == []


def test_a_result_ends_its_job() -> None:
    one = Result(
        "the-id", "m:f", "images", JobState.DONE, 2, 990.0, "w", msgspec.Raw(b"3"), started_at=980.0, replays=1
    )
    told = Ended(*WHERE, 990.0, JobState.DONE, "w", "3", started_at=980.0)
    assert facts(result.to_message(one, JOB)[0], NAMES.results) == [told]
    dead = Result(
        "the-id", "m:f", "images", JobState.DEAD, 2, 990.0, "w", reason="failed", error="no", error_type="E", replays=1
    )
    assert facts(result.to_message(dead, JOB)[0], NAMES.results) == [
        Ended(*WHERE, 990.0, JobState.DEAD, "w", None, "failed", "no", "E")
    ]


def test_part_of_a_chunk_is_told_as_such() -> None:
    failed = {1: ItemFailure("no")}
    one = Result(
        "the-id", "m:f", "images", JobState.RUNNING, 2, 990.0, items={0: msgspec.Raw(b"1")}, failed=failed, replays=1
    )
    assert facts(result.to_message(one, JOB)[0], NAMES.results) == [
        ItemsEnded(*WHERE, 990.0, {0: msgspec.Raw(b"1")}, failed)
    ]


def test_events_are_told_each() -> None:
    said: dict[str, Any] = {"id": "the-id", "at": 990.0, "task": "m:f", "queue": "images", "attempt": 2, "replays": 1}
    news = (
        Began(**said),
        Reached(**said, done=3, total=10),
        Finished(**said, outcome="retry", seconds=5.0, detail="no", retry_in=4.0),
        Finished(**said, outcome="done", seconds=5.0),
        Finished(**said, outcome="failed", seconds=5.0, detail="no"),
        Refused(**said, outcome="expired", reason="expired", detail="late"),
        Interrupted(**said),
        Lost(**said, crashes=2),
    )
    assert facts(telling.to_message("w", news, NOW), NAMES.history.events) == [
        Started(*WHERE, 990.0, "w"),
        Progressed(*WHERE, 990.0, 3, 10),
        AttemptEnded(*WHERE, 990.0, "w", "retry", "no", 985.0, 994.0),
        Ended(*WHERE, 990.0, JobState.DONE, "w", started_at=985.0),
        Ended(*WHERE, 990.0, JobState.DEAD, "w", None, "failed", "no", started_at=985.0),
        Ended(*WHERE, 990.0, JobState.EXPIRED, "w", None, "expired", "late"),
        GivenBack(*WHERE, 990.0, "w"),
        GivenBack(*WHERE, 990.0, "w", "lost", 2),
    ]


def buried(job: Job) -> Message:
    evidence = Evidence("failed", Failure("E", "no", "tb"), "w", 990.0)
    return dead_letter.bury(to_message(job), job.queue, evidence, job)


def test_a_workers_dead_letter_is_told_only_where_no_result_is() -> None:
    assert facts(buried(JOB), NAMES.dead) == []
    quiet = msgspec.structs.replace(JOB, wants_result=False)
    told = Ended(*WHERE, 990.0, JobState.DEAD, "w", None, "failed", "no", "E", "tb")
    assert facts(buried(quiet), NAMES.dead) == [told]
    chunk = msgspec.structs.replace(quiet, body=Body("m:f", items=[msgspec.Raw(b"1")]))
    assert facts(buried(chunk), NAMES.dead) == []  # others of its items may go on


@pytest.mark.parametrize(
    ("theirs", "state", "reason"),
    [("delivery_limit", JobState.DEAD, "delivery_limit"), ("expired", JobState.EXPIRED, "expired")],
)
def test_a_dead_letter_of_the_broker_ends_its_job(theirs: str, state: JobState, reason: str) -> None:
    death = {"queue": NAMES.queue("images"), "reason": theirs}
    message = to_message(JOB)
    message = msgspec.structs.replace(message, headers={**message.headers, "x-death": [death]})
    (fact,) = facts(message, NAMES.dead)
    assert isinstance(fact, Ended)
    assert (fact.id, fact.attempt, fact.replays, fact.state, fact.reason) == ("the-id", 2, 1, state, reason)


def test_a_delayed_job_whose_queue_is_gone_is_dead() -> None:
    message = to_message(JOB)
    message = msgspec.structs.replace(
        message, headers={**message.headers, "x-death": [{"queue": NAMES.delay(0), "reason": "expired"}]}
    )
    (fact,) = facts(message, NAMES.delay_out, route(NAMES, "images", 0.1)[1])
    assert isinstance(fact, Ended)
    assert (fact.queue, fact.state, fact.reason) == ("images", JobState.DEAD, "unroutable")


@pytest.mark.parametrize(
    ("message", "exchange"),
    [
        (Message(b"no result"), NAMES.results),
        (Message(b"no events"), NAMES.history.events),
        (Message(b"{}"), "somebody's"),
        (to_message(JOB), NAMES.delay(3)),
    ],
)
def test_what_is_none_of_ours_is_said_to_be(message: Message, exchange: str) -> None:
    with pytest.raises(NotUnderstood):
        facts(message, exchange)


def test_what_is_no_result_on_the_exchange_of_results_is_passed_over() -> None:
    assert facts(result.unheld_message(["a"], "no", NOW)[0], NAMES.results) == []
