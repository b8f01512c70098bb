"""Every system there is, by name; each module is imported when its system is asked for."""

from importlib import import_module
from typing import Any

from benchmarks.site import Site
from benchmarks.systems.system import Portrait, System

_CLASSES = {
    "warren": ("warren", "Warren"),
    "warren-async": ("warren", "WarrenAsync"),
    "celery": ("celery", "Celery"),
    "dramatiq": ("dramatiq", "Dramatiq"),
    "taskiq": ("taskiq", "Taskiq"),
    "bare": ("bare", "Bare"),
}
NAMES = tuple(_CLASSES)
_CLASSES |= {"warren-coroutines": ("warren", "WarrenCoroutines"), "bare-processes": ("bare", "BareProcesses")}
"""For some measures only."""
PEERS = ("celery", "dramatiq", "taskiq")


def system(name: str, site: Site) -> System:
    """Return a system on a site."""
    made: System = _class(name)(site)
    return made


def portrait(name: str) -> Portrait:
    """Return what the report says about a system."""
    found: Portrait = _class(name).portrait
    return found


def _class(name: str) -> Any:
    file, cls = _CLASSES[name]
    return getattr(import_module(f"benchmarks.systems.{file}"), cls)
