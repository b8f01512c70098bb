"""Maps in the machine: who is awaited, what is cancelled, what a producer that is gone leaves."""

import msgspec
import pytest

from warren.errors import InvalidWorkflow
from warren.states import JobState
from warren.workflow import machine
from warren.workflow.graph import Definition, Graph, MapSpec, Node, part_name, part_of
from warren.workflow.jobs import report_of
from warren.workflow.machine import (
    CancelAsked,
    CancelJobs,
    Fold,
    MapCounted,
    Nudged,
    PartEnded,
    RetryAsked,
    Step,
    lost_map,
    overdue,
)
from warren.workflow.mapping import ABANDONED_SECONDS, part_id
from warren.workflow.states import NodeState, OnFailure, WorkflowState

MAPPED = Definition(
    "w",
    "map",
    {
        "m": Node("t:m", map=MapSpec("r", 2)),
        "r": Node("t:r", after={"m": OnFailure.FAIL}),
        "after": Node("t:a", after={"r": OnFailure.FAIL}),
    },
)
GRAPH = Graph.of(MAPPED)


def part(place: int, level: int = 0, state: JobState = JobState.DONE, count: int = 2) -> PartEnded:
    return PartEnded("m", level, place, part_id(MAPPED, "m", level, place), state, 10.0, count, 5, error="no")


def after(*happenings: machine.Happening) -> Step:
    step = machine.begin(GRAPH, 0.0)
    for happening in happenings:
        step = machine.apply(GRAPH, step.progress, happening)
    return step


def test_a_map_and_its_reduce_end_together_and_what_comes_after_begins() -> None:
    step = after(part(1, count=1), MapCounted("m", 2, 3, 1.0), part(0))
    assert step.actions == (Fold("m", 1, 0, 0, 2),)
    assert not machine.apply(GRAPH, step.progress, part(0)).taken
    assert report_of(step.progress).settled == 3
    step = machine.apply(GRAPH, step.progress, part(0, level=1))
    assert step.actions == (machine.Enqueue("after", 1),)
    assert [step.progress.nodes[name].state for name in "mr"] == [NodeState.DONE] * 2
    assert msgspec.json.decode(msgspec.json.encode(step.progress), type=machine.Progress) == step.progress


def test_what_nobody_waits_for_is_not_taken() -> None:
    progress = after(MapCounted("m", 1, 2, 1.0)).progress
    wrong = msgspec.structs.replace(part(0), job_id="other")
    other = msgspec.structs.replace(part(0), node="r")
    happenings: list[machine.Happening] = [part(1), part(0, level=1), wrong, other, MapCounted("m", 2, 2, 1.0)]
    for happening in happenings:
        assert not machine.apply(GRAPH, progress, happening).taken


def test_a_chunk_that_fails_has_the_others_cancelled() -> None:
    step = after(MapCounted("m", 3, 5, 1.0), part(1, state=JobState.DEAD))
    assert step.actions[0] == CancelJobs(
        {part_name("m", 0, 0, 2): part_id(MAPPED, "m", 0, 0), part_name("m", 0, 2, 1): part_id(MAPPED, "m", 0, 2)},
        "node 'm' failed",
    )
    assert step.progress.state is WorkflowState.FAILED


def test_a_cancel_ends_a_map_and_a_retry_cannot_begin_it_again() -> None:
    step = after(MapCounted("m", 1, 2, 1.0), CancelAsked("c", 2.0))
    assert step.actions[0] == CancelJobs({"m@0.0.2": part_id(MAPPED, "m", 0, 0)}, "cancelled")
    assert step.progress.state is WorkflowState.CANCELLED
    again = machine.apply(GRAPH, step.progress, RetryAsked("r", 3.0))
    assert (again.actions, again.progress.state) == ((), WorkflowState.CANCELLED)
    assert lost_map(GRAPH, step.progress) == "m"


def test_a_long_map_is_cancelled_in_several_actions() -> None:
    step = after(MapCounted("m", 2_500, 5_000, 1.0), CancelAsked("c", 2.0))
    actions = [each for each in step.actions if isinstance(each, CancelJobs)]
    assert [len(each.jobs) for each in actions] == [1_000, 1_000, 500]
    assert {job for each in actions for job in each.jobs.values()} == {part_id(MAPPED, "m", 0, n) for n in range(2_500)}


def test_what_a_producer_sent_of_a_cancelled_map_is_cancelled_when_it_tells_how_much_that_was() -> None:
    step = after(part(0), CancelAsked("c", 2.0))
    assert step.progress.state is WorkflowState.CANCELLED
    assert not any(isinstance(each, CancelJobs) for each in step.actions)
    counted = machine.apply(GRAPH, step.progress, MapCounted("m", 3, 5, 3.0))
    jobs = {part_name("m", 0, 1, 2): part_id(MAPPED, "m", 0, 1), part_name("m", 0, 2, 1): part_id(MAPPED, "m", 0, 2)}
    assert counted.actions == (CancelJobs(jobs, "cancelled"),)
    assert counted.progress.nodes == step.progress.nodes
    assert not machine.apply(GRAPH, counted.progress, MapCounted("m", 3, 5, 3.0)).taken


def test_a_retry_after_a_map_that_is_done_leaves_it_alone() -> None:
    step = after(part(0), MapCounted("m", 1, 2, 1.0), part(0, level=1), CancelAsked("c", 2.0))
    own = machine.overdue(GRAPH, step.progress, 1e9)[0][1]
    step = machine.apply(GRAPH, step.progress, machine.Ended("after", own, JobState.CANCELLED, 3.0))
    assert lost_map(GRAPH, step.progress) is None
    assert machine.apply(GRAPH, step.progress, RetryAsked("r", 3.0)).actions == (machine.Enqueue("after", 2),)


def test_a_map_whose_producer_is_gone_fails_after_an_hour() -> None:
    progress = after(part(0)).progress
    assert not machine.apply(GRAPH, progress, Nudged(ABANDONED_SECONDS)).taken
    step = machine.apply(GRAPH, progress, Nudged(ABANDONED_SECONDS + 11.0))
    assert (step.progress.state, step.progress.why) == (
        WorkflowState.FAILED,
        "node 'm' failed: its producer has not told its end",
    )
    counted = machine.apply(GRAPH, progress, MapCounted("m", 2, 4, 11.0)).progress
    assert not machine.apply(GRAPH, counted, Nudged(1e9)).taken


def test_parts_whose_results_may_be_lost_are_told() -> None:
    progress = after(part(0), MapCounted("m", 2, 3, 1.0)).progress
    assert overdue(GRAPH, progress, 2.0) == (("m@0.1.1", part_id(MAPPED, "m", 0, 1), 0.0),)


def test_the_result_of_an_early_chunk_is_looked_for_from_when_the_map_was_enqueued_whatever_ended_since() -> None:
    progress = after(MapCounted("m", 3, 5, 1.0), part(0), part(2, count=1)).progress
    assert progress.nodes["m"].since == 10.0
    assert overdue(GRAPH, progress, 11.0) == (("m@0.1.2", part_id(MAPPED, "m", 0, 1), 0.0),)


@pytest.mark.parametrize("name", ["m", "m@0", "m@0.1.2.3", "@0.1", "m@x.1", "m@0.-1"])
def test_other_names_are_of_no_part(name: str) -> None:
    assert part_of(name) is None
    assert part_of("m@1.2") == ("m", 1, 2, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        {"m": Node("t", map=MapSpec("r"))},
        {"m": Node("t", map=MapSpec("r")), "r": Node("t")},
        {
            "a": Node("t"),
            "m": Node("t", after={"a": OnFailure.FAIL}, map=MapSpec("r")),
            "r": Node("t", after={"m": OnFailure.FAIL}),
        },
        {
            "a": Node("t"),
            "m": Node("t", map=MapSpec("r")),
            "r": Node("t", after={"m": OnFailure.FAIL, "a": OnFailure.SKIP}),
        },
    ],
)
def test_a_map_without_its_reduce_is_refused(nodes: dict[str, Node]) -> None:
    with pytest.raises(InvalidWorkflow):
        Graph.of(Definition("w", "wrong", nodes))
