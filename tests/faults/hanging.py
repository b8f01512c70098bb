"""A module of tasks that never finishes being imported by a worker."""

import os
import time

from warren.task import task


@task
def never() -> None:
    """Is never known to anybody."""


if "WARREN_NAMESPACE" in os.environ:
    time.sleep(600)
