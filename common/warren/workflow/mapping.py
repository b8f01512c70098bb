"""Maps in a workflow: the jobs of their chunks and of the calls that fold their results; pure."""

from warren.workflow.folding import Folding
from warren.workflow.graph import Definition, MapSpec, job_id, part_name

ABANDONED_SECONDS = 3600.0
"""A map whose producer has said nothing for so long, nor any chunk of it has ended, has failed."""


def part_id(definition: Definition, node: str, level: int, place: int) -> str:
    """Return the id of the job of a chunk, or of a call of the reduce."""
    return job_id(definition.id, part_name(node, level, place), 1)


def items_of(spec: MapSpec, folding: Folding, place: int) -> int:
    """Return how many items a chunk has."""
    last = folding.chunks is not None and place == folding.chunks - 1
    return (folding.items or 0) - spec.chunk * place if last else spec.chunk


def open_parts(definition: Definition, node: str, folding: Folding, most: int) -> dict[str, str]:
    """Return the jobs of a map that have not ended, as far as is known that there are any: their ids by what stands for the node."""
    spec = definition.nodes[node].map
    assert spec is not None
    return {
        part_name(node, level, place, None if level else items_of(spec, folding, place)): part_id(
            definition, node, level, place
        )
        for level, place in folding.open(most)
    }
