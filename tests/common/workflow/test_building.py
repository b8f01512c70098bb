"""Declaring workflows: edges from outputs, names, policies, nesting; and what is refused before anything is sent."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from warren.errors import InvalidArguments, InvalidWorkflow
from warren.task import named, task
from warren.workflow import OnFailure, Workflow, chain, chord, group
from warren.workflow.graph import Definition, Graph, Input, Node


@task
def extract(url: str) -> list[int]:
    return [len(url)]


@task(queue="cpu", priority=3)
def clean(rows: list[int], factor: int = 1, *, note: str | None = None) -> list[int]:
    return [row * factor for row in rows if note is None]


@task
def total(rows: list[int]) -> int:
    return sum(rows)


def made(flow: Workflow[Any]) -> Definition:
    return flow.definition(1_700_000_000.0)


def plain(raws: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(raws))


def test_taking_an_output_makes_the_edge_and_leaves_null_in_its_place() -> None:
    flow = Workflow("etl")
    rows = flow.add(extract, "u")
    flow.add(clean, rows.out, factor=2)
    node = made(flow).nodes["clean"]
    assert (plain(node.args), plain(node.kwargs)) == ([None], {"factor": 2})
    assert (node.after, node.inputs) == ({"extract": "fail"}, (Input("extract", (0,)),))
    assert (node.queue, node.priority) == ("cpu", 3)


def test_outputs_may_be_anywhere_inside_an_argument() -> None:
    flow = Workflow("inside")
    one, two = flow.add(extract, "1"), flow.add(extract, "2")
    flow.add("m:f", [one, {"k": (5, two)}], key=one)
    node = made(flow).nodes["f"]
    assert plain(node.args) == [[None, {"k": [5, None]}]]
    assert node.inputs == (Input("extract", (0, 0)), Input("extract-2", (0, 1, "k", 1)), Input("extract", ("key",)))


def test_each_edge_may_say_what_a_failure_means() -> None:
    flow = Workflow("policies")
    one, two, three, four = (flow.add(extract, str(number)) for number in range(4))
    flow.step(after=[four], on_failure="continue").add("m:f", one.or_none, two.or_skip, three.out)
    assert made(flow).nodes["f"].after == {
        "extract": "continue",
        "extract-2": "skip",
        "extract-3": "continue",
        "extract-4": "continue",
    }


def test_names_are_derived_from_the_tasks_and_numbered_or_given() -> None:
    flow = Workflow("names")
    flow.add(extract, "u")
    flow.add(extract, "u")
    flow.step("third").add(extract, "u")
    flow.add("a module:with <signs>")
    assert list(flow.nodes) == ["extract", "extract-2", "third", "with-signs-"]
    with pytest.raises(InvalidWorkflow, match="two nodes are called 'third'"):
        flow.step("third").add(extract, "u")


def test_options_of_the_call_are_the_nodes() -> None:
    flow = Workflow("options")
    at = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    flow.add(extract.options(queue="slow", delay=5, expires=6, deadline=7, timeout=8), "u")
    flow.step("at").add(named("m:f", at=at))
    node = flow.nodes["extract"]
    assert (node.queue, node.delay, node.expires, node.deadline) == ("slow", 5, 6, 7)
    assert node.limits is not None
    assert node.limits.timeout == 8
    assert flow.nodes["at"].at == at.timestamp()


def test_arguments_that_do_not_fit_are_refused_also_beside_an_output() -> None:
    flow = Workflow("wrong")
    rows = flow.add(extract, "u")
    wrong: list[tuple[Any, Any]] = [((), {}), ((rows, "two"), {}), ((rows,), {"factor": "two"}), ((rows, 1, 2), {})]
    for args, kwargs in wrong:
        with pytest.raises(InvalidArguments):
            flow.add(clean, *args, **kwargs)
    with pytest.raises(InvalidArguments, match="cannot be written as JSON"):
        flow.add("m:f", [rows, object()])
    assert list(flow.nodes) == ["extract"]


def test_nodes_of_another_workflow_are_refused() -> None:
    other = Workflow("other").add(extract, "u")
    with pytest.raises(InvalidWorkflow, match="is of another workflow"):
        Workflow("this").add(clean, other.out)
    with pytest.raises(InvalidWorkflow, match="is of another workflow"):
        Workflow("this").step(after=[other]).add(extract, "u")
    with pytest.raises(InvalidWorkflow, match="is no node"):
        Workflow("this").step(after=["extract"]).add(extract, "u")  # type: ignore[list-item]


def test_an_edge_has_one_policy_and_a_known_one() -> None:
    flow = Workflow("policies")
    rows = flow.add(extract, "u")
    with pytest.raises(InvalidWorkflow, match="an edge has one policy"):
        flow.step(after=[rows]).add(clean, rows.or_skip)
    with pytest.raises(InvalidWorkflow, match="take 'fail', 'skip' or 'continue'"):
        flow.step(on_failure="ignore")


def test_a_nested_workflow_is_copied_and_its_result_is_one_output() -> None:
    inner = Workflow("inner")
    first = inner.add(extract, "u")
    inner.step("a").add(clean, first.out)
    inner.step("b").add(clean, first.out)
    outer = Workflow("outer")
    before = outer.add(extract, "v")
    both = outer.step(after=[before], on_failure="skip").add(inner)
    outer.add("m:f", both)
    nodes = made(outer).nodes
    assert list(nodes) == ["extract", "inner/extract", "inner/a", "inner/b", "f"]
    assert nodes["inner/extract"].after == {"extract": "skip"}
    assert nodes["inner/a"].after == {"inner/extract": "fail"}
    assert plain(nodes["f"].args) == [{"a": None, "b": None}]
    assert nodes["f"].inputs == (Input("inner/a", (0, "a")), Input("inner/b", (0, "b")))
    again = outer.add(inner)
    assert again.names == ("inner-2/a", "inner-2/b")


def test_chain_group_and_chord_know_their_results() -> None:
    flow = chain(extract.call("u"), clean, total)
    assert (flow.result, flow.result_type) == ("total", int)
    together = group([total.call([1]), total.call([2])])
    assert (together.result, together.result_type) == (("total", "total-2"), list[int])
    summed = chord([total.call([1]), total.call([2])], total)
    assert made(summed).nodes["total-3"].inputs == (Input("total", (0, 0)), Input("total-2", (0, 1)))


def test_each_start_is_another_workflow() -> None:
    flow = chain(extract.call("u"), total)
    assert made(flow).id != made(flow).id
    assert made(flow).nodes == made(flow).nodes


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ({}, "no nodes"),
        (
            {"a": Node("t", after={"b": OnFailure.FAIL}), "b": Node("t", after={"a": OnFailure.FAIL})},
            "wait for each other: [ab] → [ab] → [ab]",
        ),
        ({"a": Node("t", after={"b": OnFailure.FAIL})}, "comes after 'b', which it does not have"),
        ({"a": Node("t"), "b": Node("t", inputs=(Input("a", (0,)),))}, "does not come after it"),
        ({"a": Node("t"), "b": Node("t", after={"a": OnFailure.FAIL}, inputs=(Input("a", (0,)),))}, "has no argument"),
        ({"a b": Node("t")}, "is no name of a node"),
        ({"a": Node("")}, "has no task"),
        ({f"n{number}": Node("t") for number in range(1001)}, "the limit is 1,000"),
    ],
)
def test_a_definition_by_anybody_is_checked_too(nodes: dict[str, Any], why: str) -> None:

    definition = msgspec.json.decode(msgspec.json.encode(Definition("w", "wrong", nodes)), type=Definition)
    with pytest.raises(InvalidWorkflow, match=why):
        Graph.of(definition)


def test_a_result_of_no_node_is_refused() -> None:

    with pytest.raises(InvalidWorkflow, match="its result is of node 'z'"):
        Graph.of(Definition("w", "wrong", {"a": Node("t")}, result="z"))
