"""Tasks whose modules prepare their processes; what is run is written down where HOOKED_LOG says."""

import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.jobs import write_down

from warren.hooks import process_init, warren_init
from warren.task import task

_MADE: dict[str, object] = {}


def _say(what: str) -> None:
    write_down(os.environ["HOOKED_LOG"], what=what, pid=os.getpid(), parent=os.getppid())
    if Path(os.environ["HOOKED_LOG"] + "." + what.replace(" ", "-") + ".fails").exists():
        raise ConnectionError(f"{what} fails")


@warren_init
def load() -> Iterator[None]:
    _say("load")
    _MADE["model"] = [os.getpid()]
    yield
    _say("unload")


@process_init
def connect() -> Iterator[None]:
    _say("connect")
    _MADE["connection"] = os.getpid()
    yield
    time.sleep(float(os.environ.get("HOOKED_DISCONNECT_SECONDS", "0")))
    _say("disconnect")


@process_init
def count() -> None:
    _say("count")
    _MADE["frozen"] = gc.get_freeze_count()


@task
def made() -> dict[str, object]:
    """What there is in the process that runs this."""
    return {**_MADE, "pid": os.getpid(), "parent": os.getppid(), "loaded": __name__ in sys.modules}
