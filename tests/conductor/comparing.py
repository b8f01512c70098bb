"""Holding what became of a workflow in the store against the reference, which knows nothing of the machine."""

from tests.workflows import Fate, Reference, Round

from warren.states import JobState
from warren.workflow.graph import Definition
from warren.workflow.machine import Progress
from warren.workflow.states import END_OF_JOB, OPEN, WorkflowState

_JOB_STATES = {node: job for job, node in END_OF_JOB.items()}


def fate_of(progress: Progress) -> Fate:
    return Fate(progress.state, {name: node.state for name, node in progress.nodes.items()})


def mismatch(definition: Definition, progress: Progress, kept: frozenset[str]) -> str:
    """Return how a workflow that has ended differs from what the reference says of what was heard; nothing if it does not.

    When the ends of jobs were heard is in the progress. When a cancel was, is not: then one moment must explain all that is there.
    """
    fate = fate_of(progress)
    if progress.state is WorkflowState.RUNNING or not OPEN.isdisjoint(fate.nodes.values()):
        return f"it has not ended: {fate}"
    heard = {name: node for name, node in progress.nodes.items() if not node.unbegun and name not in kept}
    ends = sorted(heard, key=lambda name: heard[name].since)
    outcomes: dict[str, JobState] = {name: _JOB_STATES[heard[name].state] for name in ends}
    cancels = range(len(ends) + 1) if progress.state is WorkflowState.CANCELLED else (None,)
    fates = [Reference(definition, Round(ends, outcomes, after), kept).fate() for after in cancels]
    return "" if fate in fates else f"it is {fate}, and by what was heard ({outcomes}) must be one of {fates}"
