"""Random workflows, and what must become of them: a reference that knows nothing of the machine. For pure and for live tests."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from warren.states import JobState
from warren.workflow.graph import Definition, Node
from warren.workflow.states import END_OF_JOB, FAULTY, NodeState, OnFailure, WorkflowState

FAULTS = (JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED)
MOST_NODES = 40


@dataclass(frozen=True, slots=True)
class Scenario:
    """A workflow and what its jobs would do if they ran.

    Attributes:
        outcomes: of each node, of its first run, its second, ...; after the last all are done.
        rounds: how often it is begun or retried at most.
        seed: for whatever else a test decides at random.
    """

    definition: Definition
    outcomes: Mapping[str, tuple[JobState, ...]]
    rounds: int
    seed: int

    def outcome(self, node: str, run: int) -> JobState:
        said = self.outcomes[node]
        return said[run - 1] if run <= len(said) else JobState.DONE


def scenario(seed: int, size: int, faults: tuple[JobState, ...] = FAULTS) -> Scenario:
    """Return the scenario of a seed, with so many nodes."""
    rng = random.Random(seed)
    policies = rng.choice([(OnFailure.FAIL,), (OnFailure.SKIP, OnFailure.CONTINUE), tuple(OnFailure)])
    often, dense = rng.choice([0.0, 0.05, 0.3]), rng.choice([1, 2, 4])
    nodes: dict[str, Node] = {}
    for place in range(size):
        before = rng.sample(list(nodes), min(len(nodes), rng.randint(0, dense)))
        after = {name: rng.choice(policies) for name in before}
        nodes[f"n{place}"] = Node("tests:work", after=after, may_fail=rng.random() < 0.5)
    names = list(nodes)
    rng.shuffle(names)  # of the order in which they are written nothing depends
    outcomes = {
        name: tuple(rng.choice(faults) if rng.random() < often else JobState.DONE for _ in range(3)) for name in names
    }
    definition = Definition(f"w{seed}", "random", {name: nodes[name] for name in names})
    return Scenario(definition, outcomes, rng.randint(1, 3), seed)


scenarios = st.builds(scenario, st.integers(0, 2**40), st.integers(1, MOST_NODES))
"""Up to 40 nodes, random edges with random policies, random faults in each run."""


@dataclass(frozen=True, slots=True)
class Round:
    """What happened from a workflow's beginning, or from a retry, to its end.

    Attributes:
        ends: the nodes whose jobs ended, in the order in which that was heard.
        outcomes: how they ended.
        cancelled_after: so many ends were heard before the workflow was cancelled; None when it was not.
    """

    ends: Sequence[str]
    outcomes: Mapping[str, JobState]
    cancelled_after: int | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a workflow."""

    state: WorkflowState
    nodes: Mapping[str, NodeState]


NEVER = float("inf")


@dataclass(slots=True)
class Reference:
    """What must become of a workflow in one round: each node's fate is looked up from those before it, by its moment alone.

    The moment of a job's end is its place in `ends`; nothing is applied step by step.
    """

    definition: Definition
    round: Round
    kept: frozenset[str] = frozenset()
    _ends: dict[str, tuple[float, NodeState]] = field(default_factory=dict)

    def fate(self) -> Fate:
        """Return the state of the workflow and of all its nodes."""
        decided, verdict = self._decision()
        nodes = {name: self._at_last(name, decided) for name in self.definition.nodes}
        all_done = all(state is NodeState.DONE for state in nodes.values())
        return Fate(WorkflowState.DONE if all_done else verdict, nodes)

    def _decision(self) -> tuple[float, WorkflowState]:
        """When it was decided how the workflow ends, and how."""
        faults = [moment for name in self.definition.nodes for moment, _ in [self._heard(name)] if self._is_fatal(name)]
        failed = min(faults, default=NEVER)
        after = self.round.cancelled_after
        cancelled = NEVER if after is None else after - 0.5
        if failed == cancelled == NEVER:
            return NEVER, WorkflowState.DONE
        return min(failed, cancelled), WorkflowState.FAILED if failed < cancelled else WorkflowState.CANCELLED

    def _is_fatal(self, name: str) -> bool:
        if self._heard(name)[1] not in FAULTY:
            return False
        policies = [node.after[name] for node in self.definition.nodes.values() if name in node.after]
        return OnFailure.FAIL in policies or (not policies and not self.definition.nodes[name].may_fail)

    def _heard(self, name: str) -> tuple[float, NodeState]:
        """When the end of a node's job was heard, and which; `waiting` for one of which none was."""
        if name in self.kept:
            return -1.0, NodeState.DONE
        if name not in self.round.outcomes:
            return NEVER, NodeState.WAITING
        return list(self.round.ends).index(name), END_OF_JOB[self.round.outcomes[name]]

    def _end(self, name: str) -> tuple[float, NodeState]:
        """When a node ends, and how, if nothing is decided before; `waiting` for one that would have had to run."""
        if name not in self._ends:
            after = self.definition.nodes[name].after
            before = {upstream: self._end(upstream) for upstream in after}
            bars = [
                moment
                for upstream, (moment, state) in before.items()
                if state not in {NodeState.DONE, NodeState.WAITING} and after[upstream] is not OnFailure.CONTINUE
            ]
            self._ends[name] = (min(bars), NodeState.SKIPPED) if bars and name not in self.kept else self._heard(name)
        return self._ends[name]

    def _at_last(self, name: str, decided: float) -> NodeState:
        """How a node ends: as it would have, if that, or its job, began before the decision."""
        if name in self.kept:
            return NodeState.DONE
        moment, state = self._end(name)
        if state is NodeState.SKIPPED:
            return state if moment < decided else NodeState.CANCELLED
        begun = max([self._end(upstream)[0] for upstream in self.definition.nodes[name].after], default=-1.0)
        return state if begun < decided else NodeState.CANCELLED


def kept_by_retry(definition: Definition, fate: Fate) -> frozenset[str]:
    """Return the nodes that a retry leaves alone: done, and after nothing but such."""
    kept: set[str] = set()
    grows = True
    while grows:
        more = {
            name
            for name, node in definition.nodes.items()
            if name not in kept and fate.nodes[name] is NodeState.DONE and kept.issuperset(node.after)
        }
        kept |= more
        grows = bool(more)
    return frozenset(kept)
