"""From nodes to jobs: inputs in their places, the same id whoever makes it; and the workflow's own result."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.common.strategies import json_values

from warren.errors import InvalidWorkflow
from warren.job import from_message, to_message
from warren.states import JobState
from warren.workflow import messages
from warren.workflow.graph import MAX_BYTES, MAX_SECONDS, Definition, Graph, Input, Node, job_id
from warren.workflow.jobs import MAX_RESULT_BYTES, TOO_LARGE, InputsDoNotFit, Report, job_of, report_of, result_of
from warren.workflow.machine import Ended, apply, begin
from warren.workflow.states import OnFailure

NOW = 1_700_000_000.0


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def read(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def definition(node: Node, **more: str) -> Definition:
    return Definition("w", "one", {"a": Node("t:a"), "b": node}, **more)  # type: ignore[arg-type]


@given(json_values, json_values)
def test_inputs_are_put_in_their_places(one: object, two: object) -> None:
    node = Node(
        "t:b",
        args=(raw([None, {"k": [1, None]}]), raw(None)),
        kwargs={"x": raw(None), "y": raw(2)},
        after={"a": OnFailure.FAIL, "c": OnFailure.CONTINUE},
        inputs=(Input("a", (0, 0)), Input("c", (0, 1, "k", 1)), Input("a", (1,)), Input("lost", ("x",))),
    )
    job = job_of(definition(node), "b", 1, {"a": raw(one), "c": raw(two)}, now=NOW, payload_limit=100_000)
    assert read(job.body.args) == [[one, {"k": [1, two]}], one]
    assert read(job.body.kwargs) == {"x": None, "y": 2}


def test_the_job_says_where_it_belongs_on_the_wire_too() -> None:
    node = Node("t:b", queue="cpu", delay=10.0, expires=5.0, deadline=20.0, priority=2)
    job = job_of(definition(node), "b", 3, {}, now=NOW, payload_limit=1000)
    again = from_message(to_message(job), "cpu", NOW)
    assert (again.id, again.workflow, again.node, again.reply_to) == (job_id("w", "b", 3), "w", "b", "workflow")
    assert (again.ready_at, again.expires_at, again.deadline_at) == (NOW + 10, NOW + 15, NOW + 30)
    assert job_of(definition(Node("t", at=NOW + 7)), "b", 1, {}, now=NOW, payload_limit=99).ready_at == NOW + 7


def test_ids_of_jobs_are_those_of_the_protocol() -> None:
    assert job_id("w", "b", 1) == str(uuid.uuid5(uuid.UUID("6f2d6a52-9c5b-4b0e-8d3f-1f0f2f6f7a11"), "w\nb\n1"))


@pytest.mark.parametrize("place", [(0, 0), (0, "k"), (0, 9)])
def test_an_argument_without_a_place_for_an_input_is_said(place: tuple[int | str, ...]) -> None:
    node = Node("t:b", args=(raw(5),), after={"a": OnFailure.FAIL}, inputs=(Input("a", place),))
    with pytest.raises(InputsDoNotFit, match="has no place"):
        job_of(definition(node), "b", 1, {"a": raw(1)}, now=NOW, payload_limit=1000)


def test_inputs_that_make_a_job_too_large_are_said() -> None:
    node = Node("t:b", args=(raw(None),), after={"a": OnFailure.FAIL}, inputs=(Input("a", (0,)),))
    with pytest.raises(InputsDoNotFit, match=r"node 'b' is 2,\d\d\d bytes and the limit is 1,000"):
        job_of(definition(node), "b", 1, {"a": raw("x" * 2000)}, now=NOW, payload_limit=1000)


def test_the_result_is_the_output_of_the_only_end_or_all_by_name_or_a_list() -> None:
    values = {"a": raw(1), "b": raw(2)}
    for node, result, expected in [
        (Node("t", after={"a": OnFailure.FAIL}), None, 2),
        (Node("t"), None, {"a": 1, "b": 2}),
        (Node("t"), "a", 1),
        (Node("t"), ("b", "a"), [2, 1]),
    ]:
        graph = Graph.of(Definition("w", "one", {"a": Node("t"), "b": node}, result=result))
        progress = begin(graph, NOW).progress
        for name in ("a", "b"):
            progress = apply(graph, progress, Ended(name, job_id("w", name, 1), JobState.DONE, NOW)).progress
        found = result_of(graph, progress, values, NOW)
        assert (found.state, read(found.value), found.id, found.task) == (JobState.DONE, expected, "w", "workflow:one")


def test_a_result_that_no_broker_would_take_is_told_as_too_large_instead() -> None:
    graph = Graph.of(Definition("w", "one", {"a": Node("t")}))
    progress = apply(graph, begin(graph, NOW).progress, Ended("a", job_id("w", "a", 1), JobState.DONE, NOW)).progress
    found = result_of(graph, progress, {"a": raw("x" * (MAX_RESULT_BYTES - 2))}, NOW)
    assert found.state is JobState.DONE
    found = result_of(graph, progress, {"a": raw("x" * (MAX_RESULT_BYTES - 1))}, NOW)
    assert (found.state, found.reason, read(found.value)) == (JobState.DEAD, TOO_LARGE, {"settled": 1, "total": 1})
    assert "its result is 8,388,609 bytes and the limit is 8,388,608: have it return a path" in found.error


@pytest.mark.parametrize(
    "node",
    [Node("t", delay=1e300), Node("t", expires=1e17), Node("t", deadline=-1.0), Node("t", at=1e300)],
    ids=["delay", "expires", "deadline", "at"],
)
def test_times_that_no_message_can_have_are_refused(node: Node) -> None:
    with pytest.raises(InvalidWorkflow, match="of node 'b' is"):
        Graph.of(definition(node))
    longest = Node("t", delay=MAX_SECONDS, expires=MAX_SECONDS, deadline=MAX_SECONDS, at=NOW)
    Graph.of(definition(longest))
    job_of(definition(longest), "b", 1, {}, now=NOW, payload_limit=1000)


def test_a_workflow_that_is_not_done_reports_how_far_it_is_and_what_failed() -> None:
    graph = Graph.of(definition(Node("t", after={"a": OnFailure.FAIL})))
    step = begin(graph, NOW)
    running = result_of(graph, step.progress, {}, NOW)
    assert (running.state, read(running.value)) == (JobState.RUNNING, {"settled": 0, "total": 2})
    step = apply(graph, step.progress, Ended("a", job_id("w", "a", 1), JobState.DEAD, NOW, error="no", error_type="E"))
    failed = result_of(graph, step.progress, {}, NOW)
    assert (failed.state, failed.reason, failed.error) == (JobState.DEAD, "workflow_failed", "node 'a' failed: E: no")
    assert msgspec.json.decode(failed.value, type=Report) == report_of(step.progress)
    assert list(report_of(step.progress).failed) == ["a"]


@given(
    st.sampled_from([messages.Cancel("w", NOW, "no"), messages.Retry("w", NOW), messages.MapEnd("w", "m", 1, 2, NOW)])
)
def test_requests_are_read_as_they_were_written(request: messages.Request) -> None:
    message = messages.to_message(request, NOW)
    assert messages.from_message(message) == request
    assert message.correlation_id == "w"


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"map_end","id":"w","node":"m","chunks":-1,"items":-1,"at":1}',
        b'{"type":"map_end","id":"w","node":"m","chunks":10000000000,"items":1,"at":1}',
        b"",
        b"{}",
        b'{"type":"stop","id":"w"}',
        b"[" * 5000,
        b'{"type":"cancel","id":1,"at":1}',
    ],
)
def test_what_is_no_request_is_said(body: bytes) -> None:
    message = msgspec.structs.replace(messages.to_message(messages.Retry("w", NOW), NOW), body=body)
    with pytest.raises(messages.NotARequest):
        messages.from_message(message)


def test_a_message_over_the_bound_is_not_even_read() -> None:
    message = messages.to_message(messages.Retry("w", NOW), NOW)
    with pytest.raises(messages.NotARequest, match="the limit"):
        messages.from_message(msgspec.structs.replace(message, body=b" " * (MAX_BYTES + 1)))
