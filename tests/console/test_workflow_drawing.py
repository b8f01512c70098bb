"""A workflow drawn in a terminal: every node once, below what it comes after, within the width."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.workflows import Scenario, scenarios

from warren.console.workflow_drawing import drawing
from warren.states import JobState
from warren.workflow.graph import Definition, Graph, Node, job_id
from warren.workflow.machine import Ended, Progress, apply, begin
from warren.workflow.states import NodeState, OnFailure


def drawn(graph: Graph, progress: Progress, width: int = 80, now: float = 100.0) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in drawing(graph, progress, width, now)]


def some_way_through(plan: Scenario, graph: Graph) -> Progress:
    """The progress after some of the jobs have ended."""
    progress, rng = begin(graph, 0.0).progress, random.Random(plan.seed)
    for _ in range(rng.randint(0, 40)):
        queued = [name for name, node in progress.nodes.items() if node.state is NodeState.QUEUED]
        if queued:
            name = rng.choice(queued)
            end = Ended(name, job_id(graph.definition.id, name, 1), plan.outcome(name, 1), 1.0, error="no\x1b[31m" * 40)
            progress = apply(graph, progress, end).progress
    return progress


@given(scenarios, st.integers(60, 200))
@settings(max_examples=60, deadline=None)
def test_every_node_is_there_once_below_what_it_comes_after_and_no_line_is_too_long(plan: Scenario, width: int) -> None:
    graph = Graph.of(plan.definition)
    lines = drawn(graph, some_way_through(plan, graph), width)
    assert max(map(cell_len, lines)) <= width
    assert not [line for line in lines if "\x1b" in line]
    places = {line.split()[1]: place for place, line in enumerate(lines) if line[2:3] in "○◐●✗⊘⊖" and line[2:3]}
    assert places.keys() == graph.definition.nodes.keys()
    for name, node in graph.definition.nodes.items():
        assert all(places[upstream] < places[name] for upstream in node.after)


def test_a_drawing_says_how_each_node_is_and_why() -> None:
    nodes = {
        "extract": Node("t:a"),
        "geo": Node("t:b"),
        "clean": Node("t:c", after={"extract": OnFailure.FAIL}),
        "map": Node("t:d", after={"geo": OnFailure.SKIP}),
        "load": Node("t:e", after={"clean": OnFailure.FAIL, "map": OnFailure.CONTINUE}),
    }
    graph = Graph.of(Definition("w", "etl", nodes))
    progress = begin(graph, 10.0).progress
    for name, state in (("extract", JobState.DONE), ("geo", JobState.DEAD)):
        end = Ended(name, job_id("w", name, 1), state, 40.0, error="no such city", error_type="LookupError")
        progress = apply(graph, progress, end).progress
    assert drawn(graph, progress) == [
        "┌─● extract  done",
        "└─✗ geo      failed",
        "      LookupError: no such city",
        "▼",
        "┌─◐ clean    queued     for 1m00s; after extract",
        "└─⊖ map      skipped    node 'geo' is failed; after geo (skip)",
        "▼",
        "──○ load     waiting    waits for clean",
    ]


def test_of_many_names_as_many_are_told_as_there_is_room_for() -> None:
    nodes = {f"a-long-name-{number}": Node("t:a") for number in range(9)}
    after = dict.fromkeys(nodes, OnFailure.FAIL)
    graph = Graph.of(Definition("w", "wide", {**nodes, "last": Node("t:b", after=after)}))
    last = drawn(graph, begin(graph, 0.0).progress)[-1]
    assert "waits for a-long-name-0, a-long-name-1, and 7 more" in last
