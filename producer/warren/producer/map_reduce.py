"""A map whose results are folded where workflows are conducted: its chunks are enqueued as the items come, and none stays here."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from warren.errors import UsageError
from warren.job import new_id
from warren.producer.core import AnyTask, Composer, Outgoing, bodies
from warren.workflow.graph import Definition, Graph, Input, MapSpec, Node, part_name
from warren.workflow.mapping import part_id
from warren.workflow.messages import MapEnd
from warren.workflow.states import OnFailure

MAP, REDUCE = "map", "reduce"
NOT_ENQUEUED = "its producer could not enqueue all of its items"
FAN_IN = 10_000
"""Values in one call of the reduce at most, by default."""
_LARGEST_SHARE = 2
"""Of `payload_limit`, what the values of one call may be: half of it."""


def defined(task: AnyTask, reduce: AnyTask, spec: MapSpec, now: float, reply_to: str) -> Definition:
    """Return the workflow of two nodes, a map and its reduce.

    Raises:
        UsageError: it cannot be one.
    """
    if task.settings.result is False or reduce.settings.result is False:
        raise UsageError("a map whose results are reduced needs them, and so does its reduce: remove result=False")
    options = reduce.settings
    nodes = {
        MAP: Node(task.name, queue=task.settings.queue, map=spec),
        REDUCE: Node(
            reduce.name,
            queue=options.queue,
            args=(msgspec.Raw(b"null"),),
            after={MAP: OnFailure.FAIL},
            inputs=(Input(MAP, (0,)),),
            priority=options.priority,
            limits=reduce.limits,
        ),
    }
    definition = Definition(new_id(now), f"{task.name} → {reduce.name}", nodes, REDUCE, now, reply_to)
    Graph.of(definition)
    return definition


def spec_of(chunk: int, fan_in: int, payload_limit: int, *, tree: bool) -> MapSpec:
    """Return the bounds of a call of the reduce.

    Raises:
        UsageError: they cannot be meant.
    """
    if chunk < 1 or fan_in < 2:  # noqa: PLR2004
        raise UsageError(
            f"chunk={chunk}, fan_in={fan_in}: a chunk has at least 1 item, and a call of the reduce 2 values"
        )
    return MapSpec(REDUCE, chunk, fan_in, max(1024, payload_limit // _LARGEST_SHARE), tree)


class Chunks:
    """The jobs of a map's chunks, made while they are read, and how many that were."""

    def __init__(
        self, definition: Definition, composer: Composer, task: AnyTask, items: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> None:
        spec = definition.nodes[MAP].map
        assert spec is not None
        self._definition = definition
        self._composer = composer
        self._task = task
        self._bodies = bodies(task, items, spec.chunk, kwargs)
        self._chunks = self._items = 0

    def __iter__(self) -> Iterator[Outgoing]:
        workflow = self._definition.id
        for body in self._bodies:
            count, place = len(body.items or ()), self._chunks
            name = part_name(MAP, 0, place, count)
            own = part_id(self._definition, MAP, 0, place)
            yield self._composer.part(self._task, body, (own, workflow, name), time.time())
            self._chunks += 1
            self._items += count

    def end(self) -> MapEnd:
        """Return what is said when all are enqueued."""
        return MapEnd(self._definition.id, MAP, self._chunks, self._items, time.time())
