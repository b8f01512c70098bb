"""A workflow's graph as lines for a terminal: pure.

One line a node, in layers: a node stands below everything that it comes after. A bracket on the left ties the nodes of a layer
together; what a node comes after is named beside it, as lines for each edge could not be told apart where there are many.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.cells import cell_len

from warren.console.amounts import span
from warren.console.grid import cut
from warren.console.output import printable
from warren.workflow.graph import Graph
from warren.workflow.machine import NodeProgress, Progress
from warren.workflow.states import OPEN, NodeState, OnFailure

_SIGNS = {
    NodeState.WAITING: ("○", "dim"),
    NodeState.QUEUED: ("◐", "bold cyan"),
    NodeState.DONE: ("●", "green"),
    NodeState.FAILED: ("✗", "bold red"),
    NodeState.CANCELLED: ("⊘", "yellow"),
    NodeState.EXPIRED: ("✗", "red"),
    NodeState.SKIPPED: ("⊖", "yellow"),
}
_STATE_CELLS = max(len(state) for state in NodeState)
_MOST_NAME_CELLS, _LEAST_NOTE_CELLS = 30, 24
_LAYERS_CELLS = 4
"""Of the rail and the sign."""
_RAIL = "dim"

Part = tuple[str, str]
"""Text, and rich's name of its style."""
Line = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What all lines of a drawing have in common."""

    graph: Graph
    progress: Progress
    width: int
    now: float
    name_cells: int


def drawing(graph: Graph, progress: Progress, width: int, now: float) -> list[Line]:
    """Return the lines of a workflow's graph.

    Args:
        graph: the workflow.
        progress: where it is.
        width: cells of the terminal.
        now: seconds since the epoch, for what is queued.
    """
    longest = max(cell_len(printable(name)) for name in graph.definition.nodes)
    room = max(8, width - _LAYERS_CELLS - _STATE_CELLS - 4 - _LEAST_NOTE_CELLS)
    sheet = _Sheet(graph, progress, width, now, min(longest, _MOST_NAME_CELLS, room))
    lines: list[Line] = []
    for number, layer in enumerate(_layers(graph)):
        if number:
            lines.append((("▼", _RAIL),))
        for place, name in enumerate(layer):
            lines += _node(sheet, name, _rail(place, len(layer)), goes_on=place < len(layer) - 1)
    return lines


def _rail(place: int, count: int) -> str:
    """The bracket that ties the nodes of a layer together."""
    if count == 1:
        return "──"
    return "┌─" if not place else "└─" if place == count - 1 else "├─"


def _layers(graph: Graph) -> list[list[str]]:
    """The nodes by how long the longest way to them is; in each layer those beside each other that come after the same."""
    depth: dict[str, int] = {}
    for name in graph.order:
        depth[name] = 1 + max((depth[upstream] for upstream in graph.definition.nodes[name].after), default=-1)
    places = {name: place for place, name in enumerate(graph.definition.nodes)}
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in graph.definition.nodes:
        layers[depth[name]].append(name)
    for layer in layers:
        layer.sort(key=lambda name: (sorted(places[up] for up in graph.definition.nodes[name].after), places[name]))
    return layers


def _node(sheet: _Sheet, name: str, rail: str, *, goes_on: bool) -> Iterator[Line]:
    node = sheet.progress.nodes[name]
    sign, style = _SIGNS[node.state]
    shown = cut(printable(name), sheet.name_cells)
    padded = shown + " " * (sheet.name_cells - cell_len(shown))
    state = str(node.state).ljust(_STATE_CELLS)
    left = sheet.width - _LAYERS_CELLS - sheet.name_cells - _STATE_CELLS - 4
    note = cut(_note(sheet, name, node, left), left)
    yield (rail, _RAIL), (f"{sign} ", style), (f"{padded}  ", ""), (f"{state}  ", style), (note, "dim")
    why = _why(node)
    if why:
        before = "│ " if goes_on else "  "
        yield (before, _RAIL), ("    ", ""), (cut(printable(why).replace("\n", " "), sheet.width - 6), style)


def _note(sheet: _Sheet, name: str, node: NodeProgress, room: int) -> str:
    """What a node comes after; of one that waits first what it waits for."""
    after = sheet.graph.definition.nodes[name].after
    told = []
    if node.state is NodeState.WAITING:
        missing = [upstream for upstream in after if sheet.progress.nodes[upstream].state in OPEN]
        return _named("waits for ", {upstream: after[upstream] for upstream in missing}, room)
    if node.state is NodeState.SKIPPED:
        told.append(node.why)
    if node.state is NodeState.QUEUED:
        told.append(f"for {span(sheet.now - node.since)}")
    if node.run > 1:
        told.append(f"run {node.run}")
    before = ", ".join(told)
    if not after:
        return before
    return _named(f"{before}{'; ' if before else ''}after ", after, room)


def _named(before: str, after: Mapping[str, OnFailure], room: int) -> str:
    """As many names as there is room for, and how many more there are."""
    names = [printable(name) + ("" if policy is OnFailure.FAIL else f" ({policy})") for name, policy in after.items()]
    text = before
    for count in range(len(names), 0, -1):
        more = f", and {len(names) - count} more" if count < len(names) else ""
        text = before + ", ".join(names[:count]) + more
        if cell_len(text) <= room:
            break
    return text


def _why(node: NodeProgress) -> str:
    """Why the job of a node has not done what it should; why one has no job is said of the workflow, or of what it comes after."""
    if node.state in OPEN or node.state is NodeState.DONE or node.unbegun:
        return ""
    if node.error:
        return f"{node.error_type}: {node.error}" if node.error_type else node.error
    return node.why
