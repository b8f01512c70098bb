"""Parts of maps: what their results say, the jobs that fold them, and the values that go into those."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from warren.job import Job
from warren.result import Result
from warren.states import FINAL, JobState
from warren.workflow.folding import Folding
from warren.workflow.graph import Definition, part_name, part_of
from warren.workflow.jobs import job_of
from warren.workflow.mapping import part_id
from warren.workflow.moves import Ended, Fold, PartEnded, Progress
from warren.workflow.states import NodeState

Values = Mapping[int, msgspec.Raw]
"""Of a chunk's items, by their places."""


class PartHeard(msgspec.Struct, frozen=True):
    """What a result of a part says.

    Attributes:
        end: of the part, as if this were all of it.
        values: of a chunk's items; more of them may have come before, or come later.
        value: of a call that folds.
        expected: how many values the chunk has when it is complete.
    """

    end: PartEnded
    values: Values = {}
    value: msgspec.Raw | None = None
    expected: int = 0


def heard(name: str, found: Result) -> PartHeard | None:
    """Return what a result says, by what stands for the node in its job; None when it says nothing new."""
    part = part_of(name)
    if part is None:
        return None
    node, level, place, count = part
    faults = found.failed or {}
    state = JobState.DEAD if faults else JobState.DONE if found.items else found.state
    end = PartEnded(
        node, level, place, found.id, state, found.finished_at, 1, 0, found.reason, found.error, found.error_type
    )
    if faults:
        first, fault = min(faults.items())
        why = f"item {first} of chunk {place}: {fault.error}"
        return PartHeard(replace(end, reason="failed", error=why, error_type=fault.error_type))
    if level == 0 and found.items:
        return PartHeard(end, values=found.items, expected=count)
    if found.state not in FINAL or (level == 0 and found.state is JobState.DONE):
        return None
    done = found.state is JobState.DONE
    return PartHeard(replace(end, size=len(bytes(found.value))), value=found.value if done else None)


def ended_otherwise(end: Ended) -> Ended | PartEnded:
    """Return what the end of a job means that there is no result of: of a part, or of a node."""
    part = part_of(end.node)
    if part is None:
        return end
    node, level, place, _ = part
    return PartEnded(node, level, place, end.job_id, end.state, end.at, 1, 0, end.reason, end.error, end.error_type)


def listed(values: Values) -> msgspec.Raw:
    """Return all values of a chunk as a list, in their order."""
    return msgspec.Raw(b"[%b]" % b",".join(bytes(values[place]) for place in sorted(values)))


def joined(level: int, values: Sequence[msgspec.Raw]) -> msgspec.Raw:
    """Return the list that a call of the reduce takes: of values, of which chunks are lists themselves."""
    raws = [bytes(value) for value in values]
    return msgspec.Raw(b"[%b]" % b",".join(raw[1:-1] if level == 0 else raw for raw in raws if level or len(raw) > 2))  # noqa: PLR2004


def is_wanted(progress: Progress, fold: Fold) -> bool:
    """Whether a call of the reduce is still to be made."""
    node, folding = progress.nodes[fold.node], progress.maps.get(fold.node, Folding())
    return node.state is NodeState.QUEUED and folding.is_new(fold.level, fold.place)


def fold_job(definition: Definition, fold: Fold, values: msgspec.Raw, *, now: float, payload_limit: int) -> Job:
    """Return the job of a call of the reduce.

    Raises:
        InputsDoNotFit: the values are too large.
    """
    spec = definition.nodes[fold.node].map
    assert spec is not None
    job = job_of(definition, spec.into, 1, {fold.node: values}, now=now, payload_limit=payload_limit)
    own, name = part_id(definition, fold.node, fold.level, fold.place), part_name(fold.node, fold.level, fold.place)
    return replace(job, id=own, node=name)
