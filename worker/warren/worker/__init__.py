"""Run jobs: `Worker` for embedding; normally `warren worker MODULE…`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.worker.daemon import Worker

__all__ = ["Worker"]


def __getattr__(name: str) -> Any:
    """Load the parent's code when it is asked for: a pool process imports this package, too, and needs none of it."""
    if name != "Worker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from warren.worker.daemon import Worker  # noqa: PLC0415

    return Worker
