"""The squares of very many numbers, and their sum: as little work for an item as can be."""

from warren.task import task


@task
def square(number: int) -> int:
    return number * number


@task
def total(numbers: list[int]) -> int:
    """Sum numbers, or sums of neighbours: addition does not mind how they are grouped."""
    return sum(numbers)
