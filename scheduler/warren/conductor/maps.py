"""Maps in the store: values that come in parts, and calls that fold them; within one transaction."""

import zlib

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from warren.conductor import parts
from warren.conductor.reading import Happened
from warren.job import Job
from warren.states import JobState
from warren.store import workflows as store
from warren.store.workflows import Output
from warren.workflow.folding import Folding
from warren.workflow.graph import Graph
from warren.workflow.machine import Fold, PartEnded, Progress
from warren.workflow.states import NodeState

_PIECES = "pieces"


class Maps:
    """What a transaction does about maps."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ended: list[tuple[str, str]] = []

    def whole(self, one: Happened) -> Happened | None:
        """Return a happening as it is, or of a chunk that has come in pieces with all that it gave; None while some are missing."""
        end = one.happening
        if not isinstance(end, PartEnded) or not one.values:
            return one
        values = one.values
        if len(values) < one.expected:
            values = self._with_earlier(one.workflow, end, values)
        if len(values) < one.expected:
            return None
        value = parts.listed(values)
        return Happened(one.workflow, replace(end, count=len(values), size=len(bytes(value))), value)

    def outputs(self, graph: Graph, progress: Progress, end: PartEnded, value: msgspec.Raw | None) -> list[Output]:
        """Return what is to be kept of a part that has ended."""
        workflow, spec = graph.definition.id, graph.definition.nodes[end.node].map
        assert spec is not None
        if progress.nodes[end.node].state is not NodeState.QUEUED:
            levels = range(len(progress.maps.get(end.node, Folding()).levels))
            self._ended += [(workflow, _kept(end.node, kind)) for kind in (*levels, _PIECES)]
            done = value is not None and progress.nodes[spec.into].state is NodeState.DONE
            return [Output(workflow, spec.into, 1, value)] if done and value is not None else []
        kept = end.state is JobState.DONE and value is not None
        return [Output(workflow, _kept(end.node, end.level), 1, value, end.place)] if kept and value is not None else []

    def forget(self) -> None:
        """Forget what was kept of maps that have ended."""
        for workflow, node in self._ended:
            store.drop(self._connection, workflow, node)
        self._ended.clear()

    def job(self, graph: Graph, progress: Progress, fold: Fold, now: float, payload_limit: int) -> Job | None:
        """Return the job of a call that folds; None when it is not wanted any more.

        Raises:
            InputsDoNotFit: its values are too large.
        """
        if not parts.is_wanted(progress, fold):
            return None
        below = fold.level - 1
        found = store.kept_places(self._connection, graph.definition.id, _kept(fold.node, below), fold.first, fold.last)
        values = parts.joined(below, found)
        return parts.fold_job(graph.definition, fold, values, now=now, payload_limit=payload_limit)

    def _with_earlier(self, workflow: str, end: PartEnded, values: parts.Values) -> parts.Values:
        """Keep values of a chunk, and return all that there are."""
        node = _kept(end.node, _PIECES)
        piece = zlib.crc32(repr(sorted(values)).encode()) >> 1  # the same one may come twice
        store.keep(
            self._connection, [Output(workflow, node, piece, msgspec.Raw(msgspec.json.encode(values)), end.place)]
        )
        pieces = store.kept_places(self._connection, workflow, node, end.place, end.place + 1)
        found: dict[int, msgspec.Raw] = {}
        for one in pieces:
            found = msgspec.json.decode(one, type=dict[int, msgspec.Raw]) | found
        return found


def _kept(node: str, kind: object) -> str:
    return f"{node}@{kind}"
