"""What follows from an outcome: which messages, in which order, and what is said about it."""

import random
from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from warren import dead_letter, delay, result
from warren.amqp.seam import Message
from warren.dead_letter import DeadLetter
from warren.job import Body, Job, from_message
from warren.outcome import Cancelled, Crashed, Done, Expired, Failed, Failure, Outcome, Rejected, Retry
from warren.result import Result
from warren.states import JobState
from warren.topology import Names
from warren.worker.chunk import Outcomes, member
from warren.worker.plan import Plan, Planner, Publish

NOW = 1_700_000_000.0
NAMES = Names("w")
FAILURE = Failure("ValueError", "no", "Traceback")
JOB = Job("the-id", Body("m:f"), "q", attempt=2, failures=1, enqueued_at=NOW - 9, ready_at=NOW - 8, reply_to="who")
MAX_CRASHES = 3
LIMIT = 1000

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=100)


def planner() -> Planner:
    return Planner(NAMES, "the-worker", LIMIT, random.Random(1))


def plan(outcome: Outcome, job: Job = JOB) -> Plan:
    return planner().single(job, outcome, MAX_CRASHES, NOW)


def results(plan: Plan) -> list[Result]:
    found = [result.from_message(one.message) for one in plan.publishes if one.exchange == NAMES.results]
    assert None not in found
    return [one for one in found if one is not None]


def dead(plan: Plan) -> DeadLetter | None:
    letters = [one for one in plan.publishes if one.exchange == NAMES.dead]
    assert len(letters) <= 1
    return dead_letter.read(letters[0].message, letters[0].routing_key, NOW) if letters else None


def again(plan: Plan) -> tuple[Publish, Job] | None:
    back = [one for one in plan.publishes if one.exchange not in {NAMES.results, NAMES.dead}]
    assert len(back) <= 1
    return (back[0], from_message(back[0].message, "q", NOW)) if back else None


# --- one job ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("crashes", "least", "most"), [(1, 2, 4), (2, 4, 8), (5, 32, 64)])
def test_a_job_whose_worker_was_lost_is_tried_again_after_a_wait(crashes: int, least: float, most: float) -> None:
    lost = planner().lost(replace(JOB, crashes=crashes), NOW)
    assert lost.retry_in is not None
    assert least <= lost.retry_in <= most


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Done(b"1"), JobState.DONE, None),
        (Failed(FAILURE), JobState.DEAD, "failed"),
        (Failed(FAILURE, "bad_result"), JobState.DEAD, "bad_result"),
        (Cancelled("enough"), JobState.CANCELLED, None),
        (Expired(), JobState.EXPIRED, "expired"),
        (Rejected("unknown_task", "no m:f"), JobState.DEAD, "unknown_task"),
    ],
    ids=repr,
)
def test_a_job_that_ended_is_told_once_and_buried_if_it_died(
    outcome: Outcome, state: JobState, reason: str | None
) -> None:
    ended = plan(outcome)
    (told,) = results(ended)
    assert (told.id, told.state, told.attempt, told.worker) == ("the-id", state, 2, "the-worker")
    letter = dead(ended)
    assert (letter.reason if letter else None) == reason
    assert (ended.buried.reason if ended.buried else None) == reason
    assert again(ended) is None
    assert ended.retry_in is None


def test_a_value_goes_to_whoever_waits() -> None:
    ended = plan(Done(b'{"a":1}'))
    (publish,) = ended.publishes
    assert (publish.exchange, publish.routing_key, publish.mandatory) == (NAMES.results, "who", False)
    assert bytes(results(ended)[0].value) == b'{"a":1}'
    assert (ended.outcome, ended.detail) == ("done", "")


def test_a_dead_letter_is_written_before_its_result_is_told() -> None:
    assert [one.exchange for one in plan(Failed(FAILURE)).publishes] == [NAMES.dead, NAMES.results]


def test_a_failure_is_told_with_all_its_evidence() -> None:
    ended = plan(Failed(FAILURE))
    (told,) = results(ended)
    assert (told.error_type, told.error, told.traceback, told.reason) == ("ValueError", "no", "Traceback", "failed")
    letter = dead(ended)
    assert letter is not None
    assert (letter.error_type, letter.error, letter.worker, letter.died_at) == ("ValueError", "no", "the-worker", NOW)
    assert (letter.queue, letter.attempts, letter.job is not None) == ("q", 2, True)


def test_a_retry_waits_in_the_delay_levels_and_counts() -> None:
    ended = plan(Retry(5.0, FAILURE))
    found = again(ended)
    assert found is not None
    publish, job = found
    assert (publish.exchange, publish.routing_key) == delay.route(NAMES, "q", 5.0)
    assert (publish.mandatory, publish.delayed, publish.message.priority) == (True, True, None)
    assert (job.id, job.attempt, job.failures, job.crashes) == ("the-id", 3, 2, 0)
    assert (job.last_error, job.ready_at, job.enqueued_at) == ("ValueError: no", NOW + 5, NOW - 9)
    assert (ended.outcome, ended.retry_in, results(ended), dead(ended)) == ("retry", 5.0, [], None)


def test_a_second_attempt_need_not_start_by_the_time_the_first_had_to() -> None:
    back = again(plan(Retry(5.0, FAILURE), replace(JOB, expires_at=NOW - 1, deadline_at=NOW + 60)))
    assert back is not None
    assert (back[1].expires_at, back[1].deadline_at) == (None, NOW + 60)


@pytest.mark.parametrize("outcome", [Retry(5.0, FAILURE), Crashed(9, None)], ids=["retry", "crash"])
def test_nothing_is_tried_again_after_the_deadline(outcome: Outcome) -> None:
    made = plan(outcome, replace(JOB, deadline_at=NOW if isinstance(outcome, Crashed) else NOW + 5))
    assert again(made) is None
    letter = dead(made)
    assert letter is not None
    assert letter.reason == ("crashed" if isinstance(outcome, Crashed) else "deadline")


def test_items_that_cannot_be_tried_again_before_the_deadline_die() -> None:
    job = replace(JOB, body=Body("m:f", items=[msgspec.Raw(b"1"), msgspec.Raw(b"2")]), deadline_at=NOW + 5)
    made = planner().chunk(job, Outcomes([member(0, b"1")], {1: Retry(9.0, FAILURE)}), MAX_CRASHES, NOW)
    assert again(made) is None
    letter = dead(made)
    assert letter is not None
    assert letter.reason == "deadline"


def test_a_retry_that_the_task_asked_for_is_no_failure() -> None:
    found = again(plan(Retry(5.0, FAILURE, counted=False)))
    assert found is not None
    assert (found[1].attempt, found[1].failures) == (3, 1)


def test_a_retry_without_wait_goes_to_its_queue_at_once_and_keeps_its_priority() -> None:
    found = again(plan(Retry(0.0, FAILURE), replace(JOB, priority=7)))
    assert found is not None
    publish, job = found
    assert (publish.exchange, publish.routing_key, publish.delayed) == (NAMES.jobs, "q", False)
    assert (publish.message.priority, job.priority) == (7, 7)


def test_a_delayed_retry_remembers_its_priority() -> None:
    found = again(plan(Retry(5.0, FAILURE), replace(JOB, priority=0)))
    assert found is not None
    assert found[1].priority == 0


@pytest.mark.parametrize(("before", "buried"), [(0, False), (1, False), (2, True), (5, True)])
def test_a_crash_is_retried_until_there_were_too_many(before: int, buried: bool) -> None:
    ended = plan(Crashed(9, None, 5 << 20), replace(JOB, crashes=before))
    found, letter = again(ended), dead(ended)
    assert ended.outcome == "crashed"
    if buried:
        assert letter is not None
        assert found is None
        assert (letter.reason, letter.signal, letter.max_rss) == ("crashed", 9, 5 << 20)
        assert letter.crashes == before + 1
        assert "SIGKILL" in results(ended)[0].error
    else:
        assert found is not None
        assert letter is None
        assert (found[1].crashes, found[1].failures, found[1].attempt) == (before + 1, 1, 3)
        assert "SIGKILL" in found[1].last_error


@pytest.mark.parametrize(
    "outcome", [Done(b"1"), Failed(FAILURE), Cancelled("x"), Expired(), Retry(1, FAILURE)], ids=repr
)
def test_without_a_wanted_result_none_is_published(outcome: Outcome) -> None:
    assert results(plan(outcome, replace(JOB, wants_result=False))) == []


def test_a_result_over_the_limit_is_a_dead_letter_that_says_what_to_do() -> None:
    ended = plan(Done(b"1" * (LIMIT + 1)))
    letter = dead(ended)
    assert letter is not None
    assert letter.reason == "bad_result"
    assert "return a path or a URL" in letter.error
    assert results(ended)[0].state is JobState.DEAD


def test_what_is_no_job_is_a_dead_letter_of_the_bytes_as_they_came() -> None:
    refused = planner().refused(Message(b"\xff"), "q", "undecodable", "no JSON", NOW)
    letter = dead(refused)
    assert letter is not None
    assert (letter.body, letter.reason, letter.error, letter.queue) == (b"\xff", "undecodable", "no JSON", "q")
    assert (refused.outcome, refused.publishes[0].mandatory) == ("rejected", True)


# --- a chunk ---------------------------------------------------------------------------------------------------------


def chunk_of(size: int, *, first: int = 0, crashes: int = 0) -> Job:
    """Return a chunk whose items are ten times their places."""
    places = list(range(first, first + size))
    body = Body("m:f", [], {}, [msgspec.Raw(b"%d" % (10 * place)) for place in places], places if first else None)
    return replace(JOB, body=body, crashes=crashes)


def outcomes_of(outcomes: Mapping[int, Outcome]) -> Outcomes:
    return Outcomes(
        [member(place, one.result) for place, one in outcomes.items() if isinstance(one, Done)],
        {place: one for place, one in outcomes.items() if not isinstance(one, Done)},
    )


def plan_chunk(outcomes: dict[int, Outcome], job: Job | None = None) -> Plan:
    return planner().chunk(job or chunk_of(len(outcomes)), outcomes_of(outcomes), MAX_CRASHES, NOW)


def items_of(job: Job) -> dict[int, int]:
    """Return the items of a chunk by their places."""
    values = [msgspec.json.decode(item) for item in job.body.items or ()]
    return dict(zip(job.body.places(), values, strict=True))


def test_a_chunk_whose_items_are_all_done_is_done() -> None:
    ended = plan_chunk({0: Done(b"1"), 1: Done(b"2")})
    (told,) = results(ended)
    assert (ended.outcome, told.state, told.failed) == ("done", JobState.DONE, {})
    assert {place: bytes(value) for place, value in (told.items or {}).items()} == {0: b"1", 1: b"2"}


def test_failed_items_alone_are_retried_as_a_smaller_chunk_with_their_places() -> None:
    job = chunk_of(4, first=5)
    ended = plan_chunk({5: Done(b"1"), 6: Retry(2.0, FAILURE), 7: Done(b"2"), 8: Retry(9.0, FAILURE)}, job)
    found = again(ended)
    assert found is not None
    publish, following = found
    assert items_of(following) == {6: 60, 8: 80}
    assert (publish.exchange, publish.routing_key) == delay.route(NAMES, "q", 9.0)
    assert (following.attempt, following.failures, following.id) == (3, 2, "the-id")
    (told,) = results(ended)
    assert told.state is JobState.RUNNING
    assert set(told.items or {}) == {5, 7}
    assert "2 of 4 items will be retried" in ended.detail


def test_items_that_died_are_one_dead_letter() -> None:
    ended = plan_chunk({0: Failed(FAILURE), 1: Done(b"1"), 2: Failed(Failure("KeyError", "x"))})
    letter = dead(ended)
    assert letter is not None
    assert letter.job is not None
    assert items_of(letter.job) == {0: 0, 2: 20}
    assert (letter.reason, letter.error_type, letter.items) == ("failed", "ValueError", 2)
    assert "(2 items)" in letter.error
    (told,) = results(ended)
    assert (ended.outcome, told.state) == ("failed", JobState.DEAD)
    assert {place: one.error for place, one in (told.failed or {}).items()} == {0: "no", 2: "x"}


@pytest.mark.parametrize(("crashes", "buried"), [(0, False), (1, False), (2, True)])
def test_an_item_that_kills_its_process_is_charged_to_the_chunk(crashes: int, buried: bool) -> None:
    ended = plan_chunk({0: Done(b"1"), 1: Crashed(9, None)}, chunk_of(2, crashes=crashes))
    letter, found = dead(ended), again(ended)
    assert (letter is not None, found is None) == (buried, buried)
    if letter:
        assert (letter.reason, letter.signal, letter.crashes) == ("crashed", 9, 3)
    if found:
        assert found[1].crashes == crashes + 1
        assert items_of(found[1]) == {1: 10}


def test_a_chunk_without_items_is_done() -> None:
    ended = plan_chunk({}, chunk_of(0))
    assert (ended.outcome, results(ended)[0].state) == ("done", JobState.DONE)


def test_an_item_over_the_limit_dies_alone() -> None:
    ended = plan_chunk({0: Done(b"1" * (LIMIT + 1)), 1: Done(b"1")})
    letter = dead(ended)
    assert letter is not None
    assert (letter.reason, letter.items) == ("bad_result", 1)


def test_many_values_told_at_once_may_be_larger_together_than_one_may_be() -> None:
    told_at_once = b"".join(member(place, b"%d" % place) for place in range(LIMIT))
    (told,) = results(planner().chunk(chunk_of(LIMIT), Outcomes([told_at_once]), MAX_CRASHES, NOW))
    assert told.state is JobState.DONE
    assert {place: bytes(value) for place, value in (told.items or {}).items()} == {
        place: b"%d" % place for place in range(LIMIT)
    }


def test_a_chunk_that_was_never_begun_ends_as_a_whole() -> None:
    ended = planner().single(chunk_of(3), Rejected("unknown_task", "no m:f"), MAX_CRASHES, NOW)
    letter = dead(ended)
    assert letter is not None
    assert letter.items == 3
    (told,) = results(ended)
    assert (told.state, told.items, told.failed) == (JobState.DEAD, None, None)


endings: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Done, st.sampled_from([b"1", b"null", b'"' + b"x" * LIMIT + b'"'])),
    st.builds(Retry, st.floats(0, 1000), st.just(FAILURE), st.booleans()),
    st.builds(Failed, st.just(FAILURE), st.sampled_from(["failed", "bad_result"])),
    st.builds(Crashed, st.sampled_from([9, None]), st.sampled_from([1, None])),
    st.builds(Rejected, st.just("invalid_arguments"), st.just("x")),
)


@deterministic
@given(
    outcomes=st.lists(endings, max_size=12),
    crashes=st.integers(0, 4),
    first=st.sampled_from([0, 7]),
    wants=st.booleans(),
)
def test_every_item_of_a_chunk_goes_exactly_one_way(
    outcomes: list[Outcome], crashes: int, first: int, wants: bool
) -> None:
    job = replace(chunk_of(len(outcomes), first=first, crashes=crashes), wants_result=wants)
    ended = plan_chunk({first + number: outcome for number, outcome in enumerate(outcomes)}, job)
    found, letter = again(ended), dead(ended)
    retried = items_of(found[1]) if found else {}
    buried = items_of(letter.job) if letter and letter.job else {}
    assert items_of(job).items() >= {**retried, **buried}.items()
    done = {
        first + number: outcome.result
        for number, outcome in enumerate(outcomes)
        if isinstance(outcome, Done) and len(outcome.result) <= LIMIT
    }
    everywhere = Counter([*retried, *buried, *done])
    assert everywhere == Counter(list(items_of(job)))
    assert (ended.buried is not None, ended.retry_in is not None) == (bool(buried), bool(retried))
    if wants:
        told = results(ended)
        items = [(place, bytes(value)) for one in told for place, value in (one.items or {}).items()]
        assert sorted(items) == sorted(done.items())
        assert Counter(place for one in told for place in one.failed or {}) == Counter(list(buried))
        last = JobState.RUNNING if retried else JobState.DEAD if buried else JobState.DONE
        assert [one.state for one in told] == [JobState.RUNNING] * (len(told) - 1) + [last]
    else:
        assert results(ended) == []


def test_the_results_of_a_chunk_travel_in_messages_that_every_broker_takes() -> None:
    large = Planner(NAMES, "w", 1 << 20, random.Random(1))
    value = b'"' + b"x" * 1_000_000 + b'"'
    ended = large.chunk(chunk_of(40), Outcomes([member(place, value) for place in range(40)]), MAX_CRASHES, NOW)
    assert max(len(one.message.body) for one in ended.publishes) < 16_000_000
    assert sorted(place for one in results(ended) for place in one.items or {}) == list(range(40))
    assert [one.state for one in results(ended)][-1] is JobState.DONE


def test_an_item_that_cancels_itself_is_no_dead_letter() -> None:
    ended = plan_chunk({0: Done(b"1"), 1: Cancelled("no user 4711")})
    (told,) = results(ended)
    assert dead(ended) is None
    assert (told.failed or {})[1].error == "no user 4711"


# --- a chunk that was cancelled --------------------------------------------------------------------------------------


def test_a_cancelled_chunk_tells_what_is_done_and_that_the_rest_is_cancelled() -> None:
    outcomes = Outcomes([member(0, b"1")], {1: Cancelled("enough"), 2: Cancelled("enough")}, cancelled_for="enough")
    found = planner().chunk(replace(JOB, body=Body("m:f", items=[msgspec.Raw(b"0")] * 3)), outcomes, MAX_CRASHES, NOW)
    assert (found.outcome, found.detail, found.retry_in, dead(found)) == ("cancelled", "enough", None, None)
    (told,) = results(found)
    assert (told.state, told.reason) == (JobState.CANCELLED, "enough")
    assert told.items == {0: msgspec.Raw(b"1")}
    assert told.failed is not None
    assert {place: one.error for place, one in told.failed.items()} == {1: "enough", 2: "enough"}


def test_a_chunk_that_was_done_before_it_was_cancelled_is_done() -> None:
    outcomes = Outcomes([member(0, b"1")], {}, cancelled_for="enough")
    found = planner().chunk(replace(JOB, body=Body("m:f", items=[msgspec.Raw(b"0")])), outcomes, MAX_CRASHES, NOW)
    assert found.outcome == "done"
    assert [told.state for told in results(found)] == [JobState.DONE]


def test_items_that_were_refused_are_dead_letters_although_the_rest_is_cancelled() -> None:
    outcomes = Outcomes([], {0: Rejected("invalid_arguments", "no"), 1: Cancelled("enough")}, cancelled_for="enough")
    body = Body("m:f", items=[msgspec.Raw(b"0")] * 2)
    found = planner().chunk(replace(JOB, body=body), outcomes, MAX_CRASHES, NOW)
    assert found.outcome == "failed"
    assert dead(found) is not None
    assert [told.state for told in results(found)] == [JobState.DEAD]
