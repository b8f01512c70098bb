"""Whatever comes late, twice, in another order, or is lost with a crash: the machine ends where the reference does."""

import random
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from tests.workflows import Fate, Reference, Round, Scenario, kept_by_retry, scenarios

from warren.states import JobState
from warren.workflow.graph import Definition, Graph, Node, job_id
from warren.workflow.machine import (
    Action,
    CancelAsked,
    CancelJobs,
    Ended,
    Enqueue,
    Finish,
    Happening,
    Nudged,
    Progress,
    RetryAsked,
    Step,
    apply,
    begin,
    overdue,
)
from warren.workflow.states import OPEN, NodeState, OnFailure, WorkflowState

S, W = NodeState, WorkflowState


# --- against the reference -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    """Where workflows run: messages that come late and twice, jobs that end as the scenario says, a conductor that crashes."""

    scenario: Scenario
    graph: Graph = field(init=False)
    rng: random.Random = field(init=False)
    progress: Progress = field(init=False)
    saved: bytes = b""
    undone: tuple[Action, ...] = ()
    """Of the last step: after a crash, nobody knows whether they were done."""
    jobs: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Enqueued and not run yet, by id."""
    enqueued: set[str] = field(default_factory=set)
    mail: list[Happening] = field(default_factory=list)
    old: list[Happening] = field(default_factory=list)
    """Delivered before: it may come again at any time."""
    finishes: int = 0

    ends: list[str] = field(default_factory=list)
    outcomes: dict[str, JobState] = field(default_factory=dict)
    cancelled_after: int | None = None
    kept: frozenset[str] = frozenset()
    requests: int = 0

    def __post_init__(self) -> None:
        self.graph = Graph.of(self.scenario.definition)
        self.rng = random.Random(self.scenario.seed)
        self._take(begin(self.graph, 0.0))

    def run(self) -> None:
        """Run the workflow and its retries, each to its end."""
        for round_ in range(self.scenario.rounds):
            self._to_its_end()
            self._compare()
            if round_ + 1 < self.scenario.rounds and self.progress.state is not W.DONE:
                self._retry()
        self._to_its_end()
        self._compare()
        end = self.progress
        for happening in [*self.old, *self.old[::-1], Nudged(0.0)]:
            assert not apply(self.graph, end, happening).taken

    def _to_its_end(self) -> None:
        while self.jobs or self.mail:
            self._turn()

    def _turn(self) -> None:
        match self.rng.choices(("job", "mail", "old", "crash", "nudge", "cancel"), (10, 10, 3, 1, 1, 0.3))[0]:
            case "job" if self.jobs:
                self._run_job(self.rng.choice(list(self.jobs)))
            case "mail" if self.mail:
                self._deliver(self.mail.pop(self.rng.randrange(len(self.mail))))
            case "old" if self.old:
                assert not apply(self.graph, self.progress, self.rng.choice(self.old)).taken
            case "crash":
                self.progress = msgspec.json.decode(self.saved, type=Progress)
                self._do(self.undone)
            case "nudge":
                assert not apply(self.graph, self.progress, Nudged(0.0)).taken
            case "cancel" if self.scenario.seed % 2:
                self.requests += 1
                self.mail.append(CancelAsked(f"cancel {self.requests}", 0.0, "enough"))

    def _run_job(self, job: str, outcome: JobState | None = None) -> None:
        node, run = self.jobs.pop(job)
        self.mail += [Ended(node, job, outcome or self.scenario.outcome(node, run), 0.0)] * self.rng.randint(1, 2)

    def _deliver(self, happening: Happening) -> None:
        running = self.progress.state is W.RUNNING
        step = apply(self.graph, self.progress, happening)
        if step.taken and isinstance(happening, Ended):
            self.ends.append(happening.node)
            self.outcomes[happening.node] = happening.state
        if step.taken and running and isinstance(happening, CancelAsked) and self.cancelled_after is None:
            self.cancelled_after = len(self.ends)
        self.old.append(happening)
        self._take(step)

    def _take(self, step: Step) -> None:
        if not step.taken:
            return
        self.progress, self.undone = step.progress, step.actions
        self.saved = msgspec.json.encode(step.progress)
        self._do(step.actions)

    def _do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Enqueue(node=node, run=run):
                    self._enqueue(node, run)
                case CancelJobs(jobs=jobs):
                    for job in set(jobs.values()) & set(self.jobs):
                        self._run_job(job, self.rng.choice([None, JobState.CANCELLED]))
                case Finish():
                    assert self.progress.state is not W.RUNNING
                    self.finishes += 1

    def _enqueue(self, node: str, run: int) -> None:
        job = job_id(self.graph.definition.id, node, run)
        if job in self.enqueued:
            return
        assert not [upstream for upstream in self.graph.definition.nodes[node].after if self._state(upstream) in OPEN]
        assert run == 1 or job_id(self.graph.definition.id, node, run - 1) in self.enqueued
        self.enqueued.add(job)
        self.jobs[job] = node, run

    def _state(self, node: str) -> NodeState:
        return self.progress.nodes[node].state

    def _retry(self) -> None:
        self.kept = kept_by_retry(self.graph.definition, self._fate())
        self.ends, self.outcomes, self.cancelled_after = [], {}, None
        self.requests += 1
        self._deliver(RetryAsked(f"retry {self.requests}", 0.0))

    def _fate(self) -> Fate:
        return Fate(self.progress.state, {name: node.state for name, node in self.progress.nodes.items()})

    def _compare(self) -> None:
        happened = Round(self.ends, self.outcomes, self.cancelled_after)
        assert self._fate() == Reference(self.graph.definition, happened, self.kept).fate()
        assert self.finishes


@given(scenarios)
@settings(max_examples=500, deadline=None)
def test_every_workflow_ends_as_the_reference_says_whatever_comes_twice_late_or_after_a_crash(
    scenario: Scenario,
) -> None:
    World(scenario).run()


# --- one thing at a time ---------------------------------------------------------------------------------------------


def chain(*policies: OnFailure) -> Graph:
    """A node `a`, `b` after it, `c` after that, ..., by these edges."""
    nodes = {"a": Node("t:a")}
    for place, policy in enumerate(policies):
        nodes["bcd"[place]] = Node("t:x", after={"abc"[place]: policy})
    return Graph.of(Definition("w", "chain", nodes))


def ended(node: str, state: JobState = JobState.DONE, run: int = 1) -> Ended:
    return Ended(node, job_id("w", node, run), state, 1.0, error="no", error_type="Oops")


def after(graph: Graph, *happenings: Happening) -> Step:
    step = begin(graph, 0.0)
    for happening in happenings:
        step = apply(graph, step.progress, happening)
    return step


def states(progress: Progress) -> dict[str, NodeState]:
    return {name: node.state for name, node in progress.nodes.items()}


@pytest.mark.parametrize(
    ("policy", "left", "whole"),
    [
        (OnFailure.FAIL, S.CANCELLED, W.FAILED),
        (OnFailure.SKIP, S.SKIPPED, W.DONE),
        (OnFailure.CONTINUE, S.QUEUED, W.RUNNING),
    ],
)
@pytest.mark.parametrize("fault", [JobState.DEAD, JobState.EXPIRED, JobState.CANCELLED])
def test_the_edge_says_what_a_fault_means(
    fault: JobState, policy: OnFailure, left: NodeState, whole: WorkflowState
) -> None:
    progress = after(chain(policy), ended("a", fault)).progress
    assert progress.nodes["b"].state is left
    assert progress.state is whole


def test_a_workflow_that_failed_says_at_which_node() -> None:
    assert after(chain(OnFailure.FAIL), ended("a", JobState.DEAD)).progress.why == "node 'a' failed: Oops: no"


def test_what_runs_may_end_when_the_workflow_has_failed() -> None:
    nodes = {"a": Node("t:a"), "b": Node("t:b"), "c": Node("t:c", after={"a": OnFailure.FAIL, "b": OnFailure.FAIL})}
    graph = Graph.of(Definition("w", "two", nodes))
    failing = after(graph, ended("a", JobState.DEAD)).progress
    assert (failing.state, failing.verdict) == (W.RUNNING, W.FAILED)
    step = apply(graph, failing, ended("b"))
    assert states(step.progress) == {"a": S.FAILED, "b": S.DONE, "c": S.CANCELLED}
    assert (step.progress.state, step.actions) == (W.FAILED, (Finish(),))


def test_what_a_skipped_node_leads_to_is_skipped_too_unless_its_edge_says_continue() -> None:
    assert states(after(chain(OnFailure.SKIP, OnFailure.FAIL), ended("a", JobState.DEAD)).progress)["c"] is S.SKIPPED
    assert states(after(chain(OnFailure.SKIP, OnFailure.CONTINUE), ended("a", JobState.DEAD)).progress)["c"] is S.QUEUED


def test_a_cancel_is_heard_once_also_when_its_copy_comes_after_a_retry() -> None:
    graph, cancel = chain(OnFailure.FAIL), CancelAsked("r1", 1.0, "stop")
    step = after(graph, cancel)
    assert step.actions == (CancelJobs({"a": job_id("w", "a", 1)}, "stop"),)
    step = after(graph, cancel, ended("a", JobState.CANCELLED), RetryAsked("r2", 2.0))
    assert step.actions == (Enqueue("a", 2),)
    assert not apply(graph, step.progress, cancel).taken
    assert not apply(graph, step.progress, RetryAsked("r2", 2.0)).taken


def test_a_cancel_of_what_has_ended_does_nothing_also_after_a_retry() -> None:
    graph, cancel = chain(OnFailure.FAIL), CancelAsked("r1", 1.0)
    step = after(graph, ended("a", JobState.DEAD), cancel)
    assert (step.progress.state, step.actions) == (W.FAILED, ())
    retried = apply(graph, step.progress, RetryAsked("r2", 2.0))
    assert not apply(graph, retried.progress, cancel).taken


def test_a_result_of_an_earlier_run_changes_nothing() -> None:
    graph = chain(OnFailure.FAIL)
    step = after(graph, ended("a", JobState.DEAD), RetryAsked("r", 2.0))
    assert not apply(graph, step.progress, ended("a")).taken
    assert apply(graph, step.progress, ended("a", run=2)).actions == (Enqueue("b", 1),)


def test_a_retry_runs_again_what_ran_without_the_output_that_it_now_gets() -> None:
    graph = chain(OnFailure.CONTINUE, OnFailure.FAIL)
    step = after(graph, ended("a", JobState.DEAD), ended("b"), ended("c"), RetryAsked("r", 2.0))
    assert step.actions == (Enqueue("a", 2),)
    assert states(step.progress) == {"a": S.QUEUED, "b": S.WAITING, "c": S.WAITING}


def test_a_replayed_dead_letter_that_is_done_takes_its_failure_back() -> None:
    graph = chain(OnFailure.FAIL, OnFailure.SKIP)
    step = after(graph, ended("a"), ended("b", JobState.DEAD), ended("b"))
    assert step.actions == (Enqueue("c", 1),)
    assert states(step.progress) == {"a": S.DONE, "b": S.DONE, "c": S.QUEUED}


def test_a_replayed_dead_letter_of_a_cancelled_workflow_is_only_that() -> None:
    graph = chain(OnFailure.FAIL)
    step = after(graph, CancelAsked("r", 1.0), ended("a", JobState.DEAD), ended("a"))
    assert (step.taken, step.progress.state) == (False, W.CANCELLED)


def test_a_workflow_that_failed_twice_stays_failed_when_one_dead_letter_is_done() -> None:
    nodes = {"a": Node("t:a"), "b": Node("t:b"), "c": Node("t:c", after={"a": OnFailure.FAIL, "b": OnFailure.FAIL})}
    graph = Graph.of(Definition("w", "two", nodes))
    step = after(graph, ended("a", JobState.DEAD), ended("b", JobState.DEAD), ended("a"))
    assert (step.progress.state, step.actions) == (W.FAILED, ())
    assert apply(graph, step.progress, ended("b")).actions == (Enqueue("c", 1),)


def test_a_node_that_may_fail_fails_nothing() -> None:
    graph = Graph.of(Definition("w", "mail", {"a": Node("t:a", may_fail=True)}))
    assert after(graph, ended("a", JobState.DEAD)).progress.state is W.DONE


def test_what_is_queued_for_long_is_told_with_its_job() -> None:
    graph = chain(OnFailure.FAIL)
    assert overdue(graph, begin(graph, 10.0).progress, 10.0) == ()
    assert overdue(graph, begin(graph, 10.0).progress, 11.0) == (("a", job_id("w", "a", 1), 10.0),)


def test_progress_is_the_same_after_being_written_down() -> None:
    progress = after(chain(OnFailure.FAIL, OnFailure.SKIP), ended("a"), CancelAsked("r", 2.0)).progress
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress
