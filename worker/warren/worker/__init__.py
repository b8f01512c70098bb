"""Run jobs: `Worker` for embedding; normally `warren worker MODULE…`."""

from warren.worker.daemon import Worker

__all__ = ["Worker"]
